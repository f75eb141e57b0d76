/* SPDX-License-Identifier: MIT
 *
 * The events that a guest is to get, as they wait in struct vcpu: queued here, delivered by
 * run/run.c.
 */
#include "arch/x86/trap.h"
#include "hv/vcpu/vcpu.h"

enum exception_class { EXCEPTION_BENIGN, EXCEPTION_CONTRIBUTORY, EXCEPTION_PAGE_FAULT };

static enum exception_class exception_class(u8 vector)
{
    if (vector == VEC_PF)
        return EXCEPTION_PAGE_FAULT;
    return vector == VEC_DE || (vector >= VEC_TS && vector <= VEC_GP) ? EXCEPTION_CONTRIBUTORY
                                                                      : EXCEPTION_BENIGN;
}

/* SDM vol. 3, table 6-5: does the second, raised by the delivery of the first, make a double fault?
 */
static bool exception_doubles(u8 first, u8 second)
{
    enum exception_class a = exception_class(first), b = exception_class(second);

    return (a == EXCEPTION_CONTRIBUTORY && b == EXCEPTION_CONTRIBUTORY) ||
           (a == EXCEPTION_PAGE_FAULT && b != EXCEPTION_BENIGN);
}

/* One that is pending already has not been delivered, and the new one is what its delivery led to.
 * A benign first one is left out: its instruction will raise it again. */
void vcpu_queue_exception(struct vcpu *v, u8 vector, bool has_error, u32 error)
{
    ASSERT_HELD(&v->lock);
    if (v->exception.pending && v->exception.vector == VEC_DF &&
        exception_class(vector) != EXCEPTION_BENIGN) {
        vcpu_request(v, VCPU_REQ_SHUTDOWN);
        return;
    }
    if (v->exception.pending && exception_doubles(v->exception.vector, vector)) {
        vector = VEC_DF;
        has_error = true;
        error = 0;
    }
    v->exception.pending = true;
    v->exception.soft = 0;
    v->exception.vector = vector;
    v->exception.has_error = has_error;
    v->exception.error = error;
}

void vcpu_drop_events(struct vcpu *v)
{
    ASSERT_HELD(&v->lock);
    v->exception.pending = v->nmi_injected = false;
    v->irq_injected = -1;
}
