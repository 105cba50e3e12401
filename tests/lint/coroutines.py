#!/usr/bin/env python3
"""Finds the forms of coroutine that g++ 12 miscompiles: it destroys some temporaries of a co_await expression twice.

    coroutines.py [FILE...]      default: every .hpp and .cpp of the project

Refused, since a lint cannot know which types are aggregates and which have a constructor:
  * a braced temporary (`{...}` or `T{...}`) in a full expression that has a co_await;  write T(...), or a named local
  * a capturing lambda in such an expression;                                           name it in a statement before
  * a capturing lambda that is a coroutine itself (its captures die with the lambda);   pass them as parameters

Prints FILE:LINE: what is wrong, and ends with 1 when there is anything.

How: the text becomes tokens without comments, strings and preprocessor lines, and these become statements, brace by brace.
A `;`, wherever it stands, and the `{` of a block end a full expression. The body of a lambda is statements of its own.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
FOLDERS = ("activator", "bench", "config", "gateway", "router", "tests")

TOKEN = re.compile(
    r"""(?P<skip>\s+|//(?:[^\n\\]|\\.|\\\n)*|/\*.*?\*/)
      |(?P<raw>(?:u8|[uUL])?R"(?P<delimiter>[^()\\\s]{0,16})\(.*?\)(?P=delimiter)")
      |(?P<text>(?:u8|[uUL])?"(?:[^"\\\n]|\\.)*"|(?:u8|[uUL])?'(?:[^'\\\n]|\\.)*')
      |(?P<number>\.?\d(?:'?[\w.]|[eEpP][+-])*)
      |(?P<word>[A-Za-z_]\w*)
      |(?P<sign>->|::|&&|\|\||.)""",
    re.VERBOSE | re.DOTALL,
)
DIRECTIVE = re.compile(r"^[ \t]*#(?:[^\n\\]|\\.|\\\n)*", re.MULTILINE | re.DOTALL)
BEFORE_LAMBDA = {"return", "co_return", "co_await", "co_yield", "else", "do", "case", "throw", "and", "or", "not"}
TYPE_HEADS = {"struct", "class", "union", "enum", "namespace", "extern", "concept"}
BEFORE_BLOCK = {"", ";", "}", "{", ":", ")", "else", "do", "try", "const", "noexcept", "override", "final", "mutable", '""'}
AWAITS = {"co_await"}
COROUTINE = {"co_await", "co_return", "co_yield"}


def tokens_of(text):
    """[(token, line)]; strings become `""`."""
    text = DIRECTIVE.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)
    line, found = 1, []
    for match in TOKEN.finditer(text):
        kind = match.lastgroup
        if match["raw"] or match["text"]:
            found.append(('""', line))
        elif kind != "skip":
            found.append((match[0], line))
        line += match[0].count("\n")
    return found


class Statement:
    """What of one full expression decides: whether it awaits, and the temporaries in it."""

    def __init__(self):
        self.awaits = False
        self.suspects = []  # (line, what)


class Checker:
    def __init__(self, text):
        self.tokens = tokens_of(text)
        self.at = 0
        self.problems = []

    def token(self, at):
        return self.tokens[at][0] if 0 <= at < len(self.tokens) else ""

    def run(self):
        while self.at < len(self.tokens):
            self.block()
        return sorted(set(self.problems))

    def close(self, statement):
        if statement.awaits:
            self.problems += statement.suspects

    def block(self):
        """Reads statements up to the `}` that ends this block; returns whether any of them makes its function a coroutine."""
        coroutine, statement, head = False, Statement(), self.at
        while self.at < len(self.tokens):
            word = self.token(self.at)
            if word == "}":
                self.at += 1
                break
            if word == "{" and self.opens_block(head):
                self.close(statement)
                self.at += 1
                coroutine |= self.block()
                statement, head = Statement(), self.at
            elif word == ";":
                self.close(statement)
                self.at += 1
                # Inside the head of a `for` or `if` the head goes on, with a full expression of its own.
                statement = Statement()
                head = self.at
            else:
                coroutine |= self.element(statement, head)
        self.close(statement)
        return coroutine

    def element(self, statement, head):
        """Reads one token of an expression, or all of a braced list or lambda; returns whether it is co_await or the like."""
        word = self.token(self.at)
        if word == "{":
            self.braces(statement, head)
            return False
        if word == "[":
            return self.square(statement)
        self.at += 1
        statement.awaits |= word in AWAITS
        return word in COROUTINE

    def braces(self, statement, head):
        line = self.tokens[self.at][1]
        if not self.declares(head):
            statement.suspects.append((line, "a braced temporary in an expression with co_await"))
        self.at += 1
        while self.at < len(self.tokens):
            word = self.token(self.at)
            if word == "}":
                self.at += 1
                return
            if word == ";":  # not a list after all; the block around it goes on
                return
            self.element(statement, self.at)

    def declares(self, head):
        """Whether the `{` here initialises a variable declared by this statement: `TYPE NAME {`, not a temporary."""
        before = self.token(self.at - 1)
        if not re.match(r"[A-Za-z_]", before) or self.at - 2 < head:
            return False
        previous = self.token(self.at - 2)
        if any(self.token(i) in ("(", "=", "co_await", "return", "co_return") for i in range(head, self.at - 1)):
            return False
        return bool(re.match(r"[A-Za-z_]\w*\Z", previous)) or previous in (">", "&", "*", "&&")

    def square(self, statement):
        """`[`: a lambda, an attribute, a structured binding or a subscript."""
        line = self.tokens[self.at][1]
        end = self.matching(self.at, "[", "]")
        if not self.introduces_lambda():
            self.at += 1
            return False
        captures = end > self.at + 1
        body = end + 1
        if self.token(body) == "<":
            depth = 0
            while body < len(self.tokens):
                depth += {"<": 1, ">": -1}.get(self.token(body), 0)
                body += 1
                if depth == 0:
                    break
        if self.token(body) == "(":
            body = self.matching(body, "(", ")") + 1
        while body < len(self.tokens) and self.token(body) not in ("{", ";", ")", ","):
            body = self.matching(body, "(", ")") + 1 if self.token(body) == "(" else body + 1
        if self.token(body) != "{":
            self.at += 1
            return False
        if captures:
            statement.suspects.append((line, "a capturing lambda in an expression with co_await"))
        self.at = body + 1
        if self.block() and captures:
            self.problems.append((line, "a capturing lambda that is a coroutine"))
        return False

    def matching(self, at, opening, closing):
        depth = 0
        while at < len(self.tokens):
            depth += {opening: 1, closing: -1}.get(self.token(at), 0)
            if depth == 0:
                return at
            at += 1
        return at

    def introduces_lambda(self):
        before = self.token(self.at - 1)
        if self.token(self.at + 1) == "[":  # an attribute
            return False
        if re.match(r"[A-Za-z_]", before):
            return before in BEFORE_LAMBDA
        if before in ("&", "&&") and self.token(self.at - 2) == "auto":
            return False
        if before == "[":  # the inner one of an attribute
            return False
        return before not in (")", "]", ">", '""') and not re.match(r"\d", before)

    def opens_block(self, head):
        """Whether the `{` here opens a block (of a function, a type, a statement) rather than a braced list."""
        before = self.token(self.at - 1)
        if self.at == head or before in BEFORE_BLOCK:
            return True
        if before in ("(", ",", "=", "return", "co_return", "co_yield", "?", "]"):
            return False
        words = [self.token(i) for i in range(head, self.at)]
        plain = self.without_template(words)
        if plain and (plain[0] in TYPE_HEADS or plain[0] == "typedef" or "enum" in plain[:3]):
            return "(" not in plain and "=" not in plain
        # `auto f(...) -> TYPE {`
        depth = 0
        for i, word in enumerate(words):
            depth += {"(": 1, ")": -1}.get(word, 0)
            if word == "->" and depth == 0 and i and words[i - 1] in (")", "const", "noexcept", "override"):
                return "=" not in words
        return False

    @staticmethod
    def without_template(words):
        words = list(words)
        while words and words[0] in ("public", "private", "protected", ":", "inline", "static", "constexpr", "template", "export"):
            if words[0] == "template" and len(words) > 1 and words[1] == "<":
                depth = 0
                for i, word in enumerate(words[1:], 1):
                    depth += {"<": 1, ">": -1}.get(word, 0)
                    if depth == 0:
                        words = words[i + 1 :]
                        break
                else:
                    return []
            else:
                words = words[1:]
        return words


def check(text):
    """[(line, what is wrong)] of one file's text."""
    return Checker(text).run()


def main(arguments):
    files = [Path(a) for a in arguments if a.endswith((".hpp", ".cpp"))]
    if not arguments:
        files = sorted(p for folder in FOLDERS for p in (ROOT / folder).rglob("*.[hc]pp"))
    bad = 0
    for file in files:
        for line, what in check(file.read_text()):
            name = file.resolve().relative_to(ROOT) if file.resolve().is_relative_to(ROOT) else file
            print(f"{name}:{line}: {what} (g++ 12 destroys it twice: see tests/lint/coroutines.py)")
            bad += 1
    print(f"{len(files)} files, {bad} problems")
    return 1 if bad or not files and not arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
