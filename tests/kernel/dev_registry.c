/* SPDX-License-Identifier: MIT
 *
 * Promises of the device registry, on a bus of its own whose devices do as their kind says.
 */
#include "dev/device.h"
#include "lib/err.h"
#include "lib/errno.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "sched/timer.h"

#define LONG (60 * NSEC_PER_SEC) /* only a broken kernel takes it */

struct test_device {
    struct device dev;
    const char *kind; /* what drivers match */
    u8 probes, removes, probing;
    u8 children_left; /* of the first remove: children that were still known */
    struct completion go, inside;
};
static u32 test_released; /* a  structs freed */

static struct test_device *test_of(struct device *dev)
{
    return container_of(dev, struct test_device, dev);
}

static bool test_match(const struct device *dev, const struct device_id *id)
{
    return strcmp(test_of((struct device *)dev)->kind, id->name) == 0;
}

static const struct bus test_bus = {.name = "selftest", .match = test_match};
BUS(selftest) = {&test_bus};

static void test_release(struct device *dev)
{
    __atomic_fetch_add(&test_released, 1, __ATOMIC_SEQ_CST);
    kfree(test_of(dev));
}

static struct test_device *test_make(const char *name, const char *kind, struct device *parent)
{
    struct test_device *t = kzalloc(sizeof(*t));

    if (!t)
        return NULL;
    device_init(&t->dev, &test_bus, parent, test_release);
    strlcpy(t->dev.name, name, sizeof(t->dev.name));
    t->kind = kind;
    completion_init(&t->go);
    completion_init(&t->inside);
    return t;
}

/* Registered, with a reference for the test; or NULL. */
static struct test_device *test_register(const char *name, const char *kind, struct device *parent)
{
    struct test_device *t = test_make(name, kind, parent);

    if (!t)
        return NULL;
    device_get(&t->dev);
    if (device_register(&t->dev) == 0)
        return t;
    device_put(&t->dev);
    device_put(&t->dev);
    return NULL;
}

static void test_drop(struct test_device *t)
{
    device_unregister(&t->dev);
    device_put(&t->dev);
}

/* ---- the drivers ---- */

static int test_probe(struct device *dev, const struct device_id *id)
{
    test_of(dev)->probes++;
    return (int)id->data;
}

static void test_remove(struct device *dev)
{
    struct test_device *t = test_of(dev);
    struct device *other;
    u64 serial = 0;

    if (!t->removes++)
        while ((other = device_next(serial)) != NULL) {
            serial = other->serial;
            t->children_left += other->parent == dev;
            device_put(other);
        }
}

/* Waits until the test lets it go on. */
static int test_probe_slow(struct device *dev, const struct device_id *id)
{
    struct test_device *t = test_of(dev);

    WRITE_ONCE(t->probing, 1);
    completion_signal(&t->inside);
    completion_wait(&t->go);
    t->probes++;
    WRITE_ONCE(t->probing, 0);
    return 0;
}

static int test_probe_parent(struct device *dev, const struct device_id *id)
{
    struct test_device *child = test_register("child", "plain", dev);

    if (!child)
        return -ENOMEM;
    device_put(&child->dev);
    return test_probe(dev, id);
}

/* The order of the table is that of the names. */
static const struct device_id test_ids_first[] = {{.name = "second", .data = (u64)-ENODEV},
                                                  {.name = "broken", .data = (u64)-EIO}};
static const struct device_id test_ids_plain[] = {
    {.name = "plain"}, {.name = "second"}, {.name = "broken"}};
static const struct device_id test_ids_slow[] = {{.name = "slow"}};
static const struct device_id test_ids_parent[] = {{.name = "parent"}};
DRIVER(selftest_a)
= {.name = "first",
   .bus = &test_bus,
   DRIVER_IDS(test_ids_first),
   .probe = test_probe,
   .remove = test_remove};
DRIVER(selftest_b)
= {.name = "plain",
   .bus = &test_bus,
   DRIVER_IDS(test_ids_plain),
   .probe = test_probe,
   .remove = test_remove};
DRIVER(selftest_c)
= {.name = "slow",
   .bus = &test_bus,
   DRIVER_IDS(test_ids_slow),
   .probe = test_probe_slow,
   .remove = test_remove};
DRIVER(selftest_d)
= {.name = "parent",
   .bus = &test_bus,
   DRIVER_IDS(test_ids_parent),
   .probe = test_probe_parent,
   .remove = test_remove};

/* ---- promises ---- */

SELFTEST(dev_is_probed_in_a_thread_and_freed_with_its_last_reference)
{
    u32 released = READ_ONCE(test_released);
    struct test_device *t = test_register("a", "plain", NULL);
    struct device *found;

    CHECK(t && device_settle(time_ns() + LONG) == 0);
    CHECK(device_is_bound(&t->dev) && t->probes == 1);
    CHECK(strcmp(device_driver(&t->dev)->name, "plain") == 0);
    found = device_find(&test_bus, "a");
    CHECK(found == &t->dev);
    device_unregister(&t->dev);
    CHECK(t->removes == 1 && !device_find(&test_bus, "a") && !device_driver(&t->dev));
    device_unregister(&t->dev); /* nothing is left to do */
    CHECK(t->removes == 1);
    device_put(&t->dev);
    CHECK(READ_ONCE(test_released) == released);
    device_put(found);
    /* The thread that probed it may be about to put its own. */
    for (u32 i = 0; i < 60000 && READ_ONCE(test_released) == released; i++)
        (void)sleep_until(time_ns() + NSEC_PER_MSEC, SLEEP_UNINTERRUPTIBLE);
    CHECK(READ_ONCE(test_released) == released + 1);
}

SELFTEST(dev_probes_run_beside_each_other)
{
    struct test_device *a = test_register("a", "slow", NULL), *b = test_register("b", "slow", NULL);
    struct test_device *c;

    CHECK(a && b);
    completion_wait(&a->inside);
    completion_wait(&b->inside); /* though a's has not ended */
    c = test_register("c", "plain", NULL);
    CHECK(c);
    CHECK(!IS_ERR(device_wait(&test_bus, "c", time_ns() + LONG)));
    device_put(&c->dev); /* device_wait's */
    CHECK(!device_is_bound(&a->dev) && !device_is_bound(&b->dev));
    CHECK(device_settle(time_ns() + NSEC_PER_MSEC) == -ETIMEDOUT);
    completion_signal(&a->go);
    completion_signal(&b->go);
    CHECK(device_settle(time_ns() + LONG) == 0 && a->probes == 1 && b->probes == 1);
    test_drop(a);
    test_drop(b);
    test_drop(c);
}

SELFTEST(dev_unregister_waits_for_a_probe_that_runs)
{
    struct test_device *t = test_register("a", "slow", NULL);

    CHECK(t);
    completion_wait(&t->inside);
    completion_signal(&t->go);
    device_unregister(&t->dev);
    CHECK(!READ_ONCE(t->probing) && t->probes == t->removes);
    device_put(&t->dev);
}

SELFTEST(dev_unregister_takes_children_first)
{
    struct test_device *t = test_register("a", "parent", NULL);
    struct device *child;

    CHECK(t);
    child = device_wait(&test_bus, "child", time_ns() + LONG);
    CHECK(!IS_ERR(child) && child->parent == &t->dev && child->depth == 1);
    device_unregister(&t->dev);
    CHECK(t->removes == 1 && t->children_left == 0 && test_of(child)->removes == 1);
    device_put(&t->dev);
    device_put(child); /* its parent went with it, not before */
}

SELFTEST(dev_of_which_a_driver_says_no_goes_to_the_next)
{
    struct test_device *second = test_register("a", "second", NULL);
    struct test_device *broken = test_register("b", "broken", NULL);
    struct device *none;

    CHECK(second && broken && device_settle(time_ns() + LONG) == 0);
    CHECK(second->probes == 2 && strcmp(device_driver(&second->dev)->name, "plain") == 0);
    CHECK(broken->probes == 1 && !device_driver(&broken->dev) && broken->dev.probe_error == -EIO);
    none = device_wait(&test_bus, "b", time_ns() + LONG);
    CHECK(PTR_ERR(none) == -ENODEV);
    test_drop(second);
    test_drop(broken);
}

SELFTEST(dev_driver_comes_and_goes_with_bind_and_unbind)
{
    struct test_device *t = test_register("a", "parent", NULL);

    CHECK(t && device_settle(time_ns() + LONG) == 0);
    CHECK(device_unbind(&t->dev) == 0 && !device_driver(&t->dev) && t->children_left == 0);
    CHECK(!device_find(&test_bus, "child") && device_unbind(&t->dev) == -ENODEV);
    CHECK(device_bind(&t->dev) == 0 && device_settle(time_ns() + LONG) == 0 && t->probes == 2);
    test_drop(t);
    CHECK(!device_find(&test_bus, "child"));
}

SELFTEST(dev_names_are_one_bus_s_own_and_depth_is_bounded)
{
    struct test_device *top = test_register("a", "none", NULL), *at = top, *twice;

    CHECK(top);
    twice = test_make("a", "none", NULL);
    CHECK(twice && device_register(&twice->dev) == -EEXIST);
    device_put(&twice->dev);
    for (unsigned i = 0; i < DEVICE_DEPTH_MAX; i++) {
        char name[4] = {'d', (char)('a' + i), 0};

        at = test_register(name, "none", &at->dev);
        CHECK(at);
        device_put(&at->dev);
    }
    twice = test_make("deep", "none", &at->dev);
    CHECK(twice && device_register(&twice->dev) == -ELOOP);
    device_put(&twice->dev);
    test_drop(top);
}

struct test_call {
    struct test_device *t;
    struct completion inside, go, gone;
    bool entered;
};

static void test_call_run(void *arg)
{
    struct test_call *call = arg;

    call->entered = device_enter(&call->t->dev);
    completion_signal(&call->inside);
    completion_wait(&call->go);
    if (call->entered)
        device_leave(&call->t->dev);
    completion_signal(&call->gone);
}

static void test_unregister_run(void *arg)
{
    struct test_call *call = arg;

    device_unregister(&call->t->dev);
    completion_signal(&call->gone);
}

static bool test_thread(void (*fn)(void *arg), struct test_call *call)
{
    struct thread *t = thread_create("selftest", fn, call);

    completion_init(&call->inside);
    completion_init(&call->go);
    completion_init(&call->gone);
    if (!t)
        return false;
    thread_start(t);
    thread_put(t);
    return true;
}

SELFTEST(dev_remove_waits_for_calls_that_are_inside)
{
    struct test_call call = {.t = test_register("a", "plain", NULL)}, end = {.t = call.t};
    struct test_device *loose = test_register("b", "none", NULL);
    u64 until;

    CHECK(call.t && loose && !device_enter(&loose->dev)); /* not while it has no driver */
    test_drop(loose);
    CHECK(device_settle(time_ns() + LONG) == 0);
    CHECK(test_thread(test_call_run, &call));
    completion_wait(&call.inside);
    CHECK(call.entered && test_thread(test_unregister_run, &end));
    until = time_ns() + LONG;
    while (!device_gate_closed(&call.t->dev) && time_ns() < until)
        cond_yield();
    CHECK(device_gate_closed(&call.t->dev) && !device_enter(&call.t->dev));
    CHECK(!READ_ONCE(end.gone.done));
    completion_signal(&call.go);
    completion_wait(&end.gone);
    completion_wait(&call.gone);
    CHECK(call.t->removes == 1);
    device_put(&call.t->dev);
}
