"""Typographic characters as plain ones: one curly quote makes an SMS of 160 characters three parts instead of one."""

_PLAIN = {
    "\u00ab\u00bb\u201c\u201d\u201e\u201f\u2033\u2036\u3003\uff02": '"',
    "\u2018\u2019\u201a\u201b\u2032\u2035\u02b9\u02bb\u02bc\u02bd\u00b4`": "'",
    "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58\ufe63\uff0d": "-",
    "\u2026": "...",
    "\u2022\u00b7\u2219": "*",
    "\u2039": "<",
    "\u203a": ">",
    "\u2044\u2215": "/",
    "\u00d7": "x",
    "\u00a0\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000\t": " ",
    "\u200b\u200c\u200d\u2060\ufeff\u00ad": "",
}
PLAIN: dict[str, str] = {character: plain for characters, plain in _PLAIN.items() for character in characters}
"""{character: what an SMS says instead}, all of it in the GSM-7 alphabet. Letters keep their accents."""

_TABLE = str.maketrans(PLAIN)


def plain(text: str) -> str:
    """`text` with each typographic character as a plain one; piece by piece the same as the whole."""
    return text.translate(_TABLE)
