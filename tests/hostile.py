"""Names of services and versions that want to be something else, for each query language."""

import random

_KNOWN = [
    "'", '"', "`", "\\", "\\'", "' OR 1=1 --", "x' SINCE 1 day ago //", "*", "%", "_", "a*", "{}", "a}b", "a,env:x",
    "x AND y", "a OR b", "$service", "${x}", "${PROP('MaxDatapoints')}", "a\nb", "a\x00b", "\u2028", "\ufffd", "é",
    "\U0001f600", "' or Region eq '*", "' eq '", "x) IN (y", "../../other", "%2e%2e%2f", "a/b", "/subscriptions/z", "",
    " ", "\t", "-x", "!x", "NOT", "//", "/*", "--", "#", "?", "&", "=", "a:b", "a}.rollup(sum)", "SEARCH('x')", "]}",
    "\"}]}}}", "query{actor}", "$q0: Nrql!", "'''", "''", "\\u0027", "&#39;", "x' UNION SELECT", "a;b", "0", "None",
]  # fmt: skip
_SIGNS = "'\"`\\*%_{}()[]$,:;=!~|&<>+-/#?@ .\n\r\t\x00é\u2028\U0001f600aZ0"


def values(number: int = 2000) -> list[str]:
    """So many, the same in each run."""
    chance = random.Random(18)
    made = ["".join(chance.choices(_SIGNS, k=chance.randint(1, 24))) for _ in range(number)]
    return [*_KNOWN, *made][:number]
