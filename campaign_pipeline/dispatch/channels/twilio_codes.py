"""Twilio's error codes and HTTP statuses, as kinds. https://www.twilio.com/docs/api/errors

The same codes come as answers to a request and, later, as ErrorCode of a status callback.
"""

from campaign_pipeline.dispatch.outcomes import Kind

CODES: dict[int, Kind] = {
    code: kind
    for kind, codes in {
        Kind.THROTTLED: (20429, 14107, 21611),
        Kind.CONFIG: (20003, 20404, 21603, 21606, 21703, 21704, 21705, 35118),
        Kind.COUNTRY: (21408,),
        Kind.CONTENT: (21620, 21655, 21656, 63005, 63021, 63027, 63028),
        Kind.BODY: (21602, 21617),
        Kind.HARD_ADDRESS: (21211, 21217, 21614, 30005, 30006),
        Kind.HARD_PAIR: (21612,),
        Kind.OPTED_OUT: (21610,),
        Kind.SOFT: (30003,),
        Kind.FILTERED: (30004, 30007, 30032, 30033, 30034, 30035, 30450),
        Kind.DELIVERY_UNKNOWN: (30008, 30410),
        Kind.CAPACITY: (30001, 30017, 30022, 30023, 30027, 63017, 63018, 63038),
        Kind.EXPIRED: (30036,),
        Kind.QUIET_HOURS: (30610, 30047),
        Kind.SCHEDULE: (35114, 35115, 35117, 35125),
        Kind.NO_WHATSAPP: (63003, 63024),
        Kind.SESSION_CLOSED: (63016,),
        Kind.META_CAP: (63049,),
        Kind.META_LIMIT: (63032,),
        Kind.WA_ACCOUNT: (63001, 63020, 63040, 63041, 63042, 63051),
    }.items()
    for code in codes
}


def kind_of(status: int, code: int | None = None) -> Kind:
    """The kind of an error answer. What is not known is never sent again: a 4xx is a refusal, all else a doubt."""
    if status >= 500 or status < 400 or status == 408:
        return Kind.NO_ANSWER  # whatever its code says: a proxy may have made it up after the request went through
    if code in CODES:
        return CODES[code]
    if status in (401, 403, 404):
        return Kind.CONFIG
    return Kind.THROTTLED if status == 429 else Kind.UNKNOWN
