"""For the stateful phase of Schemathesis: bodies that are few and alike, so that what one call begins
the next one meets, and a check that what was begun is there until it is ended, and gone from then on.

Schemathesis' own checks of that look at paths and DELETE, and every change here is a POST.
"""

import atexit
import itertools

import schemathesis
from hypothesis import strategies as st

BASE = "/rest-api"

# Every call has names of its own: what an earlier scenario left behind is nothing to a later one.
numbers = itertools.count()
latest = {"callId": "none", "toStream": "none"}


def fresh(field):
    def name(_):
        latest[field] = f"{field}-{next(numbers)}"
        return latest[field]

    return st.none().map(name)


def last(field):
    return st.none().map(lambda _: latest[field])


CALLS, STREAMS = last("callId"), last("toStream")
SESSIONS = st.just("none")

# Who is called answers; nobody is at the RTMP server, which is tried again and again.
BODIES = {
    "/call/startup": {
        "callId": fresh("callId"),
        "toStream": fresh("toStream"),
        "callee": st.just("1002"),
        "sipLogin": st.just("1001"),
        "sipDomain": st.just("127.0.0.1"),
    },
    "/call/find": {"callId": CALLS},
    "/call/terminate": {"callId": CALLS},
    "/call/send_dtmf": {"callId": CALLS, "dtmf": st.just("1#"), "type": st.just("INFO")},
    "/call/inject_sound": {"callId": CALLS, "fileName": st.just("bell.wav")},
    "/call/inject_stream": {"callId": CALLS, "streamName": STREAMS},
    "/call/inject_stream/startup": {"callId": CALLS, "streamName": STREAMS},
    "/call/inject_stream/terminate": {"callId": CALLS},
    "/push/startup": {"streamName": STREAMS, "rtmpUrl": st.just("rtmp://127.0.0.1:1936/live")},
    "/push/find": {"streamName": STREAMS},
    "/push/terminate": {"mediaSessionId": SESSIONS},
    "/push/mute": {"mediaSessionId": SESSIONS},
    "/push/unmute": {"mediaSessionId": SESSIONS},
    "/push/sound_on": {"mediaSessionId": SESSIONS, "soundFile": st.just("bell.wav")},
    "/push/sound_off": {"mediaSessionId": SESSIONS},
    "/stream/find": {"name": STREAMS},
    "/stream/terminate": {"name": STREAMS},
    "/stream/startRecording": {"mediaSessionId": SESSIONS},
    "/stream/stopRecording": {"mediaSessionId": SESSIONS},
    "/recorder/startup": {"mediaSessionId": SESSIONS},
    "/recorder/terminate": {"mediaSessionId": SESSIONS},
}

# By name: True for what was begun, False for what was ended; what is not here is unknown.
calls = {}
pushes = {}

# How often either was seen.
seen = {True: 0, False: 0}
atexit.register(lambda: print(f"Found again: {seen[True]}; not found again: {seen[False]}"))


@schemathesis.hook
def before_generate_body(context, strategy):
    fields = BODIES.get(context.operation.path.removeprefix(BASE))
    return strategy if fields is None else st.fixed_dictionaries(fields)


def judge(known, name, path, status):
    if name in known:
        wanted = 200 if known[name] else 404
        words = "was begun and is not there" if known[name] else "was ended and is there"
        assert status == wanted, f"{path}: {name} {words}: {status}"
        seen[known[name]] += 1


@schemathesis.check
def what_is_begun_is_there_until_it_is_ended(ctx, response, case):
    path, status = case.path.removeprefix(BASE), response.status_code
    if path not in BODIES or case.method != "POST":
        return
    call, push = case.body.get("callId"), case.body.get("mediaSessionId")
    if path in ("/call/find", "/call/terminate"):
        judge(calls, call, path, status)
    if path in ("/push/terminate", "/push/mute", "/push/unmute", "/push/sound_off"):
        judge(pushes, push, path, status)
    if status != 200:
        return
    if path == "/call/startup":
        calls[call] = True
    elif path == "/push/startup":
        pushes[response.json()["mediaSessionId"]] = True
    elif path == "/push/terminate":
        pushes[push] = False
    # The pushes of a call end with it: whose they were is not kept here, nor whose call a stream was.
    elif path == "/call/terminate":
        pushes.clear()
        calls[call] = False
    elif path == "/stream/terminate":
        pushes.clear()
        calls.clear()
