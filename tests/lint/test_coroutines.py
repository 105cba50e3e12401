#!/usr/bin/env python3
"""The coroutine lint finds what it must and leaves alone what is fine."""

import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from coroutines import check  # noqa: E402

GOOD = {
    "a call": "awaitable<void> f() { co_await g(1, 2); }",
    "structured binding": "awaitable<void> f() { auto [ec, n] = co_await g(a[1], x); auto& [p, q] = y; }",
    "a named local": "awaitable<void> f() { agg k{1, 2}; co_await g(std::move(k)); }",
    "a list in a statement before": "awaitable<void> f() { auto k = agg{1}; h({1, 2}); co_await g(k); }",
    "a declaration initialised by what was awaited": "awaitable<void> f() { const std::size_t n{co_await g()}; }",
    "blocks around it": "awaitable<void> f() { if (co_await g()) { h({1}); } else { h({2}); } while (co_await g()) { k = {}; } }",
    "for and switch": "awaitable<void> f() { for (int i = 0; i < 3; ++i) { co_await g(); } switch (co_await g()) { case 1: { break; } } }",
    "a block behind a label": "awaitable<void> f() { switch (a) { case x::y: { co_await g(); } default: { h({1}); } } }",
    "a lambda without captures": "awaitable<void> f() { co_await g([](int a) { return a; }); }",
    "a capturing lambda elsewhere": "awaitable<void> f() { auto l = [x] { return agg{x}; }; co_await g(l); }",
    "a capturing lambda that is no coroutine": "void f() { post(ex, [this] { run({1}); }); }",
    "a lambda coroutine without captures": "void f() { spawn([](int a) -> awaitable<void> { co_await g(a); }); }",
    "in a comment": "awaitable<void> f() { co_await g(/* {1} */ a);  // {2}\n }",
    "in a string": 'awaitable<void> f() { co_await g("{", \'{\', R"x({})x"); }',
    "in a macro's definition": "#define X co_await f( \\\n {1})\nint a;",
    "types around it": "namespace a { template <class T> struct b final : c<T> { int x{0}; b() : x{1} { y(); } awaitable<void> f() const { co_await g(); } }; }",
    "members with braces before a coroutine": "class a { std::array<int, 2> k{1, 2};\n int z = {};\n awaitable<void> run(); };",
    "trailing return type": "auto f() -> awaitable<void> { co_await g(); h({1}); }",
    "an attribute": "[[nodiscard]] awaitable<void> f() { [[maybe_unused]] auto n = co_await g(); }",
    "an init statement": "awaitable<void> f() { if (agg k{1}; co_await g(k)) { } }",
    "an init statement that awaits": "awaitable<void> f() { if (auto r = co_await g(); r) { h({1}); } }",
    "enum with a type": "enum class e : std::uint8_t { a, b }; awaitable<void> f() { co_await g(); }",
    "numbers with separators": "awaitable<void> f() { co_await g(1'000'000, x); }",
}
BAD = {
    "an aggregate": ("awaitable<void> f() {\n  co_await g(agg{k});\n}", [2]),
    "a bare list": ("awaitable<void> f() { co_await g({.p = k}); }", [1]),
    "an empty list": ("awaitable<void> f() { co_await g({}, 1); }", [1]),
    "std::array": ("awaitable<void> f() { co_await write(s, std::array{a, b}); }", [1]),
    "over several lines": ("awaitable<void> f() {\n  auto n = co_await g(\n      a,\n      agg{\n          1});\n}", [4]),
    "beside the co_await": ("awaitable<void> f() { h(agg{1}, co_await g()); }", [1]),
    "around the co_await": ("awaitable<void> f() { auto n = agg{co_await g()}; }", [1]),
    "co_return": ("awaitable<agg> f() { co_return agg{co_await g()}; }", [1]),
    "a capturing lambda": ("awaitable<void> f() { co_await g([x] { return x; }); }", [1]),
    "a lambda that captures by default": ("awaitable<void> f() { co_await g([&](int a) mutable { return a; }); }", [1]),
    "a std::function": ("awaitable<void> f() { co_await g(std::function<void()>([this] {})); }", [1]),
    "co_spawn of a capturing lambda": (
        "awaitable<void> f() { co_await co_spawn(ex, [x]() -> awaitable<void> { co_await g(x); }, use_awaitable); }",
        [1, 1],
    ),
    "a capturing lambda that is a coroutine": ("void f() {\n  auto l = [this]() -> awaitable<void> {\n co_return; };\n}", [2]),
    "in the head of an if": ("awaitable<void> f() { if (co_await g(agg{1})) { } }", [1]),
    "in the head of a while, behind a block": ("awaitable<void> f() { { h(); }\n while (!co_await g({1})) { } }", [2]),
    "in a lambda's body": ("void f() { spawn([](int a) -> awaitable<void> {\n co_await g({a}); }); }", [2]),
    "in a member of a template": ("template <class T> struct a { awaitable<void> f() const { co_await g(T{}); } };", [1]),
    "behind a nested statement": ("awaitable<void> f() { for (;;) { if (x) co_await g(a);\n else co_await g(b{1}); } }", [2]),
    "in a switch": ("awaitable<void> f() { switch (a) { case 1: co_await g(b{1}); } }", [1]),
}


class Lint(unittest.TestCase):
    def test_good(self):
        for name, text in GOOD.items():
            with self.subTest(name):
                self.assertEqual(check(text), [])

    def test_bad(self):
        for name, (text, lines) in BAD.items():
            with self.subTest(name):
                self.assertEqual([line for line, _ in check(text)], lines)


if __name__ == "__main__":
    unittest.main()
