#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What the filters of lists, events and prunes say, beside what Docker's say."""
import io
import json
import os
import sys
import tarfile
import time
import urllib.parse

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from engine_fixture import busybox_layer, config, expect, main
from test_engine_hostile import api, clean, create, loaded, processor, quick, rss

BASE = busybox_layer()


def ids(engine, path, filters):
    return sorted(c["Id"] for c in api(engine, "GET", path + "filters=" + json.dumps(filters).replace(" ", ""))[1])


def test_filters_of_containers(engine):
    made = [create(engine, Image="busybox", Labels={"n": str(i)}) for i in range(4)]
    for filters, want in (({"before": [made[1]]}, made[:1]), ({"since": {made[1]: True}}, made[2:]),
                          ({"since": [made[0]], "before": [made[3][:12]]}, made[1:3]),
                          ({"label!": ["n=2"]}, made[:2] + made[3:]), ({"label": ["n", "n=2"]}, made[2:3]),
                          ({"network": ["bridge"]}, made), ({"network": ["host"]}, []), ({"network": ["nosuch"]}, [])):
        expect(ids(engine, "/containers/json?all=1&", filters), sorted(want), str(filters))
    for filters, code in (('{"before":["nosuch"]}', 404), ('{"nosuch":["x"]}', 400), ("{", 400), ('{"label":"n"}', 400),
                          ('{"label":[1]}', 400), ("[]", 400)):
        for verb in ("GET", "/containers/json?all=1&"), ("POST", "/containers/prune?"):
            if code == 400 or verb[0] == "GET":
                expect(api(engine, verb[0], verb[1] + "filters=" + filters)[0], code, filters)
    expect(ids(engine, "/containers/json?all=1&", {}), sorted(made), "nothing has gone")
    for filters, gone in (({"label": ["n=1"]}, made[1:2]), ({"until": ["1h"]}, []), ({"until": ["x"]}, None),
                          ({"label!": ["n=0"], "until": [str(int(time.time()) + 100)]}, made[2:])):
        status, answer = api(engine, "POST", "/containers/prune?filters=" + json.dumps(filters).replace(" ", ""))
        expect((status, sorted(answer.get("ContainersDeleted", []))), (200, sorted(gone)) if gone is not None else (400, []))
    expect(api(engine, "DELETE", f"/containers/{made[0]}?link=1")[0], 400)
    expect(ids(engine, "/containers/json?all=1&", {}), made[:1], "what stays")
    clean(engine)


def test_filters_of_yes_and_no_say_one_of_them(engine):
    for path in ("GET", "/images/json?"), ("POST", "/images/prune?"), ("GET", "/volumes?"), ("GET", "/networks?"):
        for value, code in (("true", 200), ("0", 200), ("False", 200), ("nonsense", 400), ("", 400)):
            if path[0] == "GET" or code == 400 or value == "true":
                expect(api(engine, path[0], path[1] + 'filters={"dangling":["%s"]}' % value)[0], code, path[1] + value)
    expect(api(engine, "GET", '/images/json?filters={"until":["x"]}')[0], 400)


def test_values_of_filters_are_bounded(engine):
    c = create(engine, Image="busybox")
    for path, key in (("/containers/json?all=1&", "before"), ("/containers/json?all=1&", "since"),
                      ("/containers/json?all=1&", "ancestor"), ("/images/json?", "before"), ("/events?until=1&", "label")):
        value = "busybox" if "images" in path or key == "ancestor" else c
        for values, code in (([value] * 64, 200), ([value] * 65, 400)):
            status, answer = api(engine, "GET", path + "filters=" + json.dumps({key: values}).replace(" ", ""))
            expect((status, code == 400 and "more than 64 values" in answer["message"]), (code, code == 400), key)
    many = {"id": [c] * 33, "name": {f"n{i}": True for i in range(32)}}  # of all together
    expect(api(engine, "GET", "/containers/json?filters=" + json.dumps(many).replace(" ", ""))[0], 400)
    expect(ids(engine, "/containers/json?all=1&", {"ancestor": ["nosuch", "busybox"]}), [c])
    expect(ids(engine, "/containers/json?all=1&", {"ancestor": {"nosuch": True}}), [])
    for key in ("before", "since"):
        status, answer = api(engine, "GET", '/images/json?filters={"%s":["nosuch"]}' % key)
        expect((status, answer["message"]), (404, "No such image: nosuch"), key)
    clean(engine)


def test_names_in_filters_are_regular_expressions(engine):
    made = {}
    for name in ("web_1", "web_2", "web-10", "db"):
        status, answer = api(engine, "POST", "/containers/create?name=" + name, {"Image": "busybox", "Cmd": ["x"]})
        expect(status, 201, str(answer))
        made[name] = answer["Id"]
    for pattern, want in (("web", ["web_1", "web_2", "web-10"]), ("^web_[0-9]%2B$", ["web_1", "web_2"]), ("^/db$", ["db"]),
                          ("^db$", ["db"]), ("1$", ["web_1"]), ("web.*0|db", ["web-10", "db"]), ("", list(made)),
                          ("web_[12]", ["web_1", "web_2"]), ("*", []), ("[", []), ("(", []), (")", []), ("a%5C%5C1", []),
                          ("(" * 8 + "w" + ")%2B" * 8, list(made)[:3]), ("w*?e%2B?b", list(made)[:3]), ("web**", []),
                          ("w*%2B", []), ("w*??", []), ("a%2B" + "%2B" * 40, []), ("_%5C%5Cd$", ["web_1", "web_2"]),
                          ("web[%5C%5Cd%5C%5C-]1", ["web-10"]), ("web%5C%5C-", ["web-10"])):
        expect(ids(engine, "/containers/json?all=1&", {"name": [pattern]}), sorted(made[n] for n in want), pattern[:40])
    clean(engine)


def by_name(engine, pattern, key="name", path="/containers/json?all=1&"):
    return api(engine, "GET", path + "filters=" + urllib.parse.quote(json.dumps({key: [pattern]})))


def test_patterns_that_cannot_be_had_are_refused(engine):
    for pattern in ("w{1,9999}", "w{", "(?i)web", "(?:a)", "^*a", "\\pL", "\\Qa", "[[=a=]]", "[\\]]", "w" * 5000,
                    "(" * 9 + "w" + ")" * 9, "(" + "a|" * 84 + "a)" + "*" * 80, "w+" * 33):
        status, answer = by_name(engine, pattern)
        expect((pattern[:40], status), (pattern[:40], 400))
        expect(answer["message"].startswith("not supported in a name filter: "), True, answer["message"])
    expect(by_name(engine, "*" * 385, "reference", "/images/json?")[0], 400)


def test_long_names_match_their_filters(engine):
    name = "n" + "1" * 254
    status, made = api(engine, "POST", "/containers/create?name=" + name, {"Image": "busybox", "Cmd": ["x"]})
    expect(status, 201)
    for pattern in (name, "^/" + name + "$", "1" * 200):
        expect([c["Id"] for c in by_name(engine, pattern)[1]], [made["Id"]], pattern[:9])
    clean(engine)


def test_repeated_repetitions_cost_nothing(engine):
    """Once each took seconds, and tens of megabytes that stayed."""
    before, begun = rss(engine), processor(engine)
    for n in range(16):
        expect(by_name(engine, "(" + "a|" * 9 + "b)" + "*" * (20 + n))[1], [])
        expect(by_name(engine, "a" + "+" * (40 + n // 4))[1], [])
        expect(by_name(engine, "((((((((" + "a|" * 11 + "b)*)*)*)*)*)*)*)*" + "c" * (n % 8))[0], 200)
    took = processor(engine) - begun
    if took > 5 or rss(engine) - before > 50000:
        raise AssertionError(f"the engine ran for {took:.1f} s, and has grown by {rss(engine) - before} KiB")


def test_filters_that_take_too_long_are_refused(engine):
    names = [f"{'a-' * 100}{n}:1" for n in range(8000)]
    manifest = [{"Config": "c", "Layers": ["l"], "RepoTags": names[i:i + 64]} for i in range(0, len(names), 64)]
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as t:
        for name, data in (("l", BASE), ("c", config([BASE], Labels={"too": "long"})), ("manifest.json", json.dumps(manifest).encode())):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            t.addfile(info, io.BytesIO(data))
    p = engine.load(out.getvalue())
    expect(p.returncode, 0, p.stderr)
    filters = {"reference": [f"*a*-*a*-*a*-*b{n}" for n in range(64)]}
    status, answer = api(engine, "GET", "/images/json?filters=" + urllib.parse.quote(json.dumps(filters)))
    expect((status, answer), (400, {"message": "the filters take too long"}))
    quick(engine, 1, "after filters that took too long")
    listed = by_name(engine, "too=long", "label", "/images/json?")[1]
    expect((len(listed), len(listed[0]["RepoTags"])), (1, 8000), "the next list")
    expect(api(engine, "DELETE", f"/images/{listed[0]['Id']}?force=1")[0], 200)


def test_references_in_filters_are_shell_patterns(engine):
    tags = ("pat:1", "pat:2-libc", "other/pat:1")
    for tag in tags:
        loaded(engine, tag, [BASE])

    def listed(pattern):
        return sorted(t for i in api(engine, "GET", "/images/json?filters=" + json.dumps({"reference": [pattern]}).replace(" ", ""))[1]
                      for t in i["RepoTags"] if "pat" in t)
    for pattern, want in (("pa*:*libc", tags[1:2]), ("pat", tags[:2]), ("*", tags[:2]), ("*/*", tags[2:]), ("pat:[0-9]", tags[:1]),
                          ("p?t:1", tags[:1]), ("oth*", ()), ("other/pat", tags[2:]), ("pat:1", tags[:1]), ("pa", ())):
        expect((pattern, listed(pattern)), (pattern, sorted(want)))
    for tag in tags:
        engine.run("rmi", tag)


def test_filters_of_images(engine):
    for n in (1, 2):
        conf = json.loads(config([BASE], Labels={"n": str(n)}))
        conf["created"] = f"202{n}-01-01T00:00:00Z"
        loaded(engine, f"fil{n}:1", [BASE], json.dumps(conf).encode())
    every = {"reference": ["fil*"]}
    one, two = [api(engine, "GET", f"/images/fil{n}:1/json")[1]["Id"] for n in (1, 2)]
    for filters, want in (({"label": ["n"]}, [one, two]), ({"label": ["n=2"]}, [two]), ({"before": ["fil2:1"]}, [one]),
                          ({"since": ["fil1:1"]}, [two]), ({"until": ["1630000000"]}, [one])):
        expect(ids(engine, "/images/json?", {**every, **filters}), sorted(want), str(filters))
    for filters in ('{"nosuch":["x"]}', "{", '{"label":[1]}'):
        expect(api(engine, "GET", "/images/json?filters=" + filters)[0], 400, filters)
    # one image of two names goes by its id only when that is forced
    expect(api(engine, "POST", "/images/fil1:1/tag?repo=fil3&tag=1")[0], 201)
    expect(api(engine, "DELETE", "/images/" + one)[0], 409)
    expect(api(engine, "GET", "/images/fil1:1/json")[0], 200)
    expect(api(engine, "DELETE", "/images/" + one + "?force=1")[0], 200)


if __name__ == "__main__":
    main(sys.modules[__name__])
