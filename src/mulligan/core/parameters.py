"""Makes of a message what its like have in common: ids, numbers, places and moments become placeholders."""

from __future__ import annotations

import re

MAX_MESSAGE = 2_000
"""What comes after so many characters of a message is not looked at."""
MAX_TEXT = 300
"""So long is what is made of it, at most."""

_DATE = r"\d{4}[-/]\d\d[-/]\d\d(?:[T ]\d\d:?\d\d(?::?\d\d(?:[.,]\d+)?)?(?:\s?(?:Z|UTC|[+-]\d\d:?\d\d))?)?"
_TIME = r"(?:\s+\d\d:\d\d:\d\d)?(?:\s+(?:GMT|UTC|\d{4}))?"
_DAY = rf"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun),?\s+(?:\d{{1,2}}\s+\w{{3}}|\w{{3}}\s+\d{{1,2}})(?:\s+\d{{4}})?{_TIME}"
_IP = r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w.]\d)|(?<![\w:])(?:[0-9a-f]{0,4}:){3,7}[0-9a-f]{1,4}(?![\w:])|(?<![\w:])::1(?!\w)"
_KEEP = (
    r"(?<![\w-])(?:s3a?|ec2|utf-?(?:8|16|32)|md5|sha-?\d{1,3}|ipv[46]|http/?[123](?:\.\d)?|u?int\d{1,2}|float\d{1,2}|"
    r"base64|x86_64|k8s|oauth2|h3|py3|python[23])(?!\w|://|:[0-9a-f]{32})"
)
_PATH = (
    r"(?<![\w./])~?(?:/[\w.@%+=:-]+){2,}/?|(?<![\w\\])[a-z]:\\[\w.\\ -]+|"
    r"(?<![\w./=-])(?:[\w=-][\w.=-]*/)+[\w=-][\w.=-]*\.[a-z]\w{0,7}(?!\w)"
)
_UNIT = r"(?:ns|us|µs|ms|s|secs?|seconds?|mins?|minutes?|h|hrs?|hours?|d|days?)"
_TOP = r"(?:com|net|org|io|dev|cloud|local|internal|lan|svc|localdomain|gov|edu|info|aws)"

# In order; the first that fits at a place counts. Each begins where a word does, so that a long word is gone through once only.
_PATTERNS = (
    # Words that have a number in their name, which says something.
    ("keep", _KEEP),
    ("email", r"(?<![\w.+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)+"),
    ("url", r"(?<![\w+.-])(?:https?|wss?|ftps?)://[^\s'\"<>)\]},]*[^\s'\"<>)\]},.:;]"),
    ("uri", r"(?<![\w+.-])[a-z][a-z0-9+.-]*://[^\s'\"<>)\]},]*[^\s'\"<>)\]},.:;]"),
    ("traceparent", r"(?<![\w-])[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(?![\w-])"),
    ("uuid", r"(?<![\w-])[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}(?![\w-])"),
    ("run_id", r"(?<!\w)\d{8}T\d{6}Z-[0-9a-f]{12}(?!\w)"),
    ("hash", r"(?<!\w)(?:sha\d+:)?(?:[0-9a-f]{64}|[0-9a-f]{40}|[0-9a-f]{32})(?!\w)"),
    ("text", r"(?<=\w=)(?:'[^']*'|\"[^\"]*\")"),
    ("bool", r"(?<=\w=)(?:true|false)(?!\w)"),
    ("value", r"(?<=\w=)[\w.:+-]*\d[\w.:+-]*"),
    ("path", _PATH),
    ("date", rf"(?<!\w){_DATE}(?!\w)|(?<!\w)\d{{8}}T\d{{6}}Z?(?!\w)|(?<!\w){_DAY}(?!\w)"),
    ("time", r"(?<![\w:])\d{1,2}:\d\d:\d\d(?:[.,]\d+)?(?![\w:])"),
    ("ip", _IP),
    ("host", rf"(?<![\w.-])(?:localhost|(?:[a-z0-9_-]{{1,63}}\.)+{_TOP})(?![\w-])"),
    ("duration", rf"(?<![\w.])\d+(?:\.\d+)?\s?{_UNIT}(?!\w)"),
    ("hex", r"(?<!\w)(?:0x[0-9a-f]+|(?=[0-9a-f]*\d)(?=[0-9a-f]*[a-f])(?!\d+e\d+(?!\w))[0-9a-f]{7,})(?!\w)"),
    ("number", r"(?:(?<![\w)\].-])[-+])?\d+(?:[,_]\d+)*(?:\.\d+)?(?:e[-+]?\d+(?!\w))?"),
)
_PATTERN = re.compile("|".join(f"(?P<{name}>{pattern})" for name, pattern in _PATTERNS), re.IGNORECASE)
_SPACE = re.compile(r"\s+")


def parameterised(message: str) -> str:
    """Return a message in one line, with placeholders for what differs between its like: `row <number> of <path>`."""
    text = _PATTERN.sub(_placeholder, _SPACE.sub(" ", message[:MAX_MESSAGE]).strip())
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}…"


def _placeholder(match: re.Match[str]) -> str:
    if match.lastgroup == "keep":
        return match[0]
    return f"<{match.lastgroup}>".replace("_", " ")
