"""PURE: the catalogue of error and warning codes that calls, webhooks and the REST API report.

The codes and their levels are Twilio's (design conformance §1.12, Twilio's error dictionary), so that a client that
knows them understands ours; the words are our own. One entry of the table: code, level (E error, W warning) and what
happened; below it what the operator can do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

Level = Literal["error", "warning"]

_TABLE = """
11100 E The URL is malformed, or its address may not be requested.
      Write an absolute http(s) URL with a host name; an address that is denied can be allowed: WEBHOOK_ALLOW_NETWORKS.
11200 E The document or media file could not be fetched.
      Request the URL yourself with curl: it must answer 200 within 15 seconds.
11201 E The TCP connection to the web server timed out.
      Check the address, the port and the firewall between this machine and the web server.
11202 E The web server refused the TCP connection.
      Start the web server, or correct the port in the URL.
11203 E The request took longer than the total time allowed.
      Make the application answer within 15 seconds, or raise tt in the connection overrides of the URL.
11205 E No HTTP connection to the web server came about.
      Check that the web server is reachable from this machine.
11206 E The web server's answer was not valid HTTP.
      Check that the port speaks HTTP, and https:// if it expects TLS.
11210 E The host name of the URL does not resolve.
      Correct the host name or its DNS record.
11215 E The request was redirected more than ten times.
      Remove the loop, or give the final URL.
11216 E The web server redirected to something that is not an http or https URL.
      Correct the Location header of the redirect.
11217 E The web server answered with an error status.
      Look into the web application's log for this request.
11220 E The TLS handshake with the web server failed.
      Check that the server offers TLS 1.2 or newer and a complete certificate chain.
11235 E The web server's certificate is for another host name.
      Use the host name of the certificate in the URL, or renew the certificate with this name.
11236 E The web server's certificate has expired.
      Renew the certificate.
11237 E The web server's certificate is not signed by an authority that this machine trusts.
      Install the intermediate certificates, or add your authority to this machine's trust store.
11241 E The edge named in the connection overrides is not supported.
      Leave the e parameter out of the URL's fragment.
11243 E The connection overrides in the URL's fragment are invalid.
      Correct the part after #: ct, rt and tt in milliseconds, rc 0 to 5, rp of 4xx, 5xx, ct, rt, all.
11750 E The TwiML document is larger than 64 kB.
      Shorten the document, or continue it through <Redirect>.
11770 E The web server answered with an empty body.
      Answer with TwiML; an empty <Response/> ends the call.
12100 E The TwiML document is not well-formed XML.
      Look at the line that the message names; & must be written &amp;.
12101 E The XML version of the TwiML document is not supported.
      Begin the document with <?xml version="1.0" encoding="UTF-8"?>.
12102 E The root element of the TwiML document is not Response.
      Wrap all verbs in exactly one <Response> element; names are case-sensitive.
12200 W The TwiML document has an element or attribute that is not known here.
      Check the spelling, capitals included; the rest of the document was run.
12300 E The content type of the answer is neither TwiML, text nor audio.
      Send Content-Type: text/xml with TwiML.
12400 E An internal failure stopped the TwiML document.
      Look into the engine's log at this time; please report it.
13201 E A screening document tried to <Dial>.
      Remove <Dial> from the document at the url attribute of <Sip> or <Number>.
13210 W The method of <Dial> is neither GET nor POST.
      Correct the attribute; POST was used.
13212 W The timeout of <Dial> is not a number of seconds from 5 to 600.
      Correct the attribute; 30 seconds were used.
13213 W hangupOnStar of <Dial> is neither true nor false.
      Correct the attribute; false was used.
13214 W The callerId of <Dial> is not valid.
      Give a number, or letters, digits and + - _ . without spaces; the caller's own was used.
13215 W <Dial> holds an element that it may not hold, or too many.
      Put only <Number>, <Sip> and the other documented nouns into <Dial>, ten at most.
13216 W The timeLimit of <Dial> is not a number of seconds that is allowed.
      Give 1 to 14400; 14400 was used.
13217 W The record attribute of <Dial> has an unknown value.
      Use do-not-record, or record-from-answer or record-from-ringing, each also with -dual at its end.
13218 W The sequential attribute of <Dial> is neither true nor false.
      Correct the attribute; false was used.
13219 W answerOnBridge of <Dial> is neither true nor false.
      Correct the attribute; false was used.
13220 W The ringTone of <Dial> is not a known country code.
      Use one of the two-letter codes of the documentation, or leave it out.
13221 W The method of <Number> is neither GET nor POST.
      Correct the attribute; POST was used.
13222 W sendDigits of <Number> has a character that cannot be sent.
      Use 0-9, A-D, #, * and w for half a second of waiting.
13223 W The phone number is malformed.
      Write it in E.164 form: + and country code first, digits only.
13224 W The phone number cannot be called.
      Give a trunk a rule for the number; one with the prefix * takes every number.
13225 W Calls to this phone number are blocked.
      Remove the number from the list of blocked ones if the call is wanted.
13226 W The country code of the phone number does not exist.
      Correct the digits after the +.
13227 W Calls to this country are not permitted.
      Permit the country for this account if the call is wanted.
13230 W muted of <Conference> is neither true nor false.
      Correct the attribute.
13231 E endConferenceOnExit of <Conference> is neither true nor false.
      Correct the attribute.
13232 W startConferenceOnEnter of <Conference> is neither true nor false.
      Correct the attribute.
13233 W The waitUrl of <Conference> is not a valid URL.
      Correct the attribute, or set it to nothing for silence.
13234 W The waitMethod of <Conference> is neither GET nor POST.
      Correct the attribute.
13235 W The beep attribute of <Conference> has an unknown value.
      Use true, false, onEnter or onExit.
13241 W The method of <Sip> is neither GET nor POST.
      Correct the attribute; POST was used.
13242 W sendDigits of <Sip> has a character that cannot be sent.
      Use 0-9, A-D, #, * and w for half a second of waiting.
13243 W The SIP URI is not valid.
      Write sip:user@host, under 255 characters without headers; the message says what is wrong.
13244 W The SIP endpoint asked for authentication and there were no credentials.
      Set username and password of the endpoint or of <Sip>.
13245 W The verb is not available in this API version.
      Use API version 2010-04-01.
13246 W SIP calls are not enabled for this account.
      Enable the account in the admin.
13247 E The caller ID is not valid or may not be used.
      Give a caller ID that this account may present.
13248 W The caller ID is too long.
      Shorten the callerId attribute.
13249 W Username or password of <Sip> is missing or not valid.
      Give both, each under 256 characters.
13250 W <Dial> holds more targets than can be called.
      Give ten at most (one while the account's enhanced SIP features are off); the action URL can dial the next.
13251 W The SIP URI carries too many custom headers.
      Give ten headers at most.
13252 W A custom SIP header's name may not be sent.
      Begin the name with x-, or use User-to-User, Remote-Party-ID, P-Preferred-Identity or P-Called-Party-ID.
13253 W The custom SIP headers are too long.
      Keep everything after the ? under 1024 characters, counted as encoded.
13254 W The host of the SIP URI does not resolve, or to an address that may not be called.
      Correct the host name, or allow private targets in the settings.
13255 W The SIP domain may not be dialled directly.
      Dial the endpoint's own address.
13256 E The recordingStatusCallback is not a valid URL.
      Write an absolute http(s) URL, or a path below the document's URL.
13310 W finishOnKey of <Gather> has a character that is no key.
      Use one of 0-9, # and *, or nothing.
13311 W finishOnKey of <Gather> has more than one character.
      Give one key.
13312 W The method of <Gather> is neither GET nor POST.
      Correct the attribute; POST was used.
13313 W The timeout of <Gather> is not a positive number of seconds.
      Correct the attribute; 5 seconds were used.
13314 W numDigits of <Gather> is not a positive number.
      Correct the attribute; no limit was used.
13320 W <Gather> holds a verb that it may not hold.
      Put only <Say>, <Play> and <Pause> into <Gather>.
13321 W The voice of a <Say> inside <Gather> is not known.
      Use a voice that the documentation lists.
13322 W The loop of a <Say> inside <Gather> is not a number from 0 up.
      Correct the attribute; 1 was used.
13325 E A <Play> inside <Gather> points to something that is not audio.
      Serve WAV or MP3 with an audio content type.
13326 W The input attribute of <Gather> has an unknown value.
      Set it to dtmf; speech is not recognised here.
13410 W The loop of <Play> is not a number from 0 up.
      Correct the attribute; 1 was used.
13420 E <Play> points to something that is not audio.
      Serve WAV or MP3 with an audio content type.
13430 W The digits attribute of <Play> has a character that cannot be sent.
      Use 0-9, A-D, #, * and w for half a second of waiting.
13510 W The loop of <Say> is not a number from 0 up.
      Correct the attribute; 1 was used.
13511 W The voice of <Say> is not known.
      Use a voice that the documentation lists; the default voice spoke.
13512 W The language of <Say> is not known.
      Use a language that the documentation lists; the default one was spoken.
13520 W The text of <Say> is empty or cannot be spoken.
      Put text into the element.
13521 W The text of <Say> is too long.
      Split it into several <Say> elements.
13610 W The method of <Record> is neither GET nor POST.
      Correct the attribute; POST was used.
13611 W The timeout of <Record> is not a positive number of seconds.
      Correct the attribute; 5 seconds were used.
13612 W maxLength of <Record> is not a positive number of seconds.
      Correct the attribute; 3600 seconds were used.
13613 W finishOnKey of <Record> has a character that is no key.
      Use 0-9, # and *.
13614 W transcribe of <Record> is neither true nor false.
      Correct the attribute; false was used.
13615 W maxLength of <Record> is too high for a transcription.
      Shorten maxLength or switch transcribe off.
13616 W playBeep of <Record> is neither true nor false.
      Correct the attribute; true was used.
13617 W The recording is too short or too long for a transcription.
      Nothing to do; the recording itself is kept.
13618 W The recording is not available for a transcription.
      Check that the recording was completed.
13619 W This kind of recording cannot be transcribed.
      Switch transcribe off.
13621 E recordingStatusCallbackEvent has an unknown value.
      Use in-progress, completed and absent, separated by spaces.
13622 W recordingTrack is not inbound, outbound or both.
      Correct the attribute; both was used.
13710 W The method of <Redirect> is neither GET nor POST.
      Correct the attribute; POST was used.
13801 E A transfer (REFER) was asked for on a leg that is not SIP.
      Transfer only SIP legs.
13802 E The phone sent a transfer (REFER) and <Dial> has no referUrl.
      Set referUrl on <Dial> if phones may transfer.
13810 W The reason of <Reject> is not rejected or busy.
      Correct the attribute; rejected was used.
13910 W The length of <Pause> is not a positive number of seconds.
      Correct the attribute; 1 second was used.
15000 E An internal failure stopped the call.
      Look into the engine's log at this time; please report it.
15002 E The call waited too long in the queue.
      Check that an engine of the call's region is running and has room.
15003 W A callback was not answered as expected.
      Answer callbacks with 204, or 200 and an empty <Response/>; the call itself was not affected.
15004 E A relative URL was given where there is no document URL to complete it.
      Write absolute URLs in TwiML that is given inline.
16022 E The conference does not exist, or is over.
      Look it up by its name: a new one has a new SID.
20001 W A parameter is not known.
      Check the parameter's spelling, capitals included.
20003 E The credentials are wrong or do not permit this.
      Check the account SID and the auth token.
20004 E The method is not allowed for this resource.
      Use a method that the documentation of the resource lists.
20005 E The account is suspended or closed.
      Make it active in the admin, or through the main account it belongs to.
20403 E The account may not do this.
      Enable the account in the admin.
20404 E The resource does not exist.
      Check the SID and the path, capitals included.
20413 E The body of the request is too large.
      Send less at once; API_MAX_BODY sets the limit.
20429 E There were too many requests at once.
      Wait a moment and repeat the request.
20500 E The API failed internally.
      Look into the web process's log at this time; please report it.
20503 E The API is not available for the moment.
      Repeat the request in a few seconds.
21201 E No To was given.
      Give the number or the SIP URI to call.
21205 E A URL is not valid.
      Write an absolute http(s) URL with a host name that has no underscore.
21206 E SendDigits is not valid.
      Use at most 32 of 0-9, #, *, w, W and A-D.
21208 E Timeout is not valid.
      Give a number of seconds up to 600.
21209 E A method is neither GET nor POST.
      Correct the parameter.
21210 E The From number is not one that this account may present.
      Use a caller ID that this account owns or has verified.
21211 E To is not a valid number or SIP URI.
      Write a number in E.164 form, or sip:user@host.
21212 E From is not a valid caller ID.
      Write a number in E.164 form, or letters, digits and + - _ . for SIP.
21213 E No From was given.
      Give the caller ID of the call.
21217 E The phone number does not look valid.
      Write it in E.164 form: + and country code first, digits only.
21218 E The ApplicationSid is not valid.
      Give the SID of an application of this account.
21220 E The call is not in a state in which it can be changed this way.
      Fetch the call first: queued and ringing calls can be cancelled, calls in progress completed or redirected.
21221 W SipAuthUsername is too long.
      Keep it under 256 characters.
21222 W SipAuthUsername has a character that is not allowed.
      Use printable characters.
21223 W SipAuthPassword is too long.
      Keep it under 256 characters.
21224 W SipAuthPassword has a character that is not allowed.
      Use printable characters.
21225 W SipAuthUsername was given without SipAuthPassword.
      Give both parameters or neither.
21226 W SIP calls are not enabled for this account.
      Enable the account in the admin.
21227 W The headers in the SIP URI are too long.
      Keep everything after the ? under 1024 characters, counted as encoded.
21228 W A header name in the SIP URI has a character that is not allowed.
      Use letters, digits and hyphens, beginning with x-.
21229 W A header value in the SIP URI has a character that is not allowed.
      Remove line ends and other control characters.
21230 E The account has as many SIP domains as it may have.
      Delete a domain that is no longer used.
21231 E The SIP domain is not valid, or the list is mapped to it already.
      Correct the field that the message names.
21232 E The name of the SIP domain is not valid or taken.
      Choose another name.
21233 E The SIP domain still has sub-domains.
      Delete those first.
21235 E The IP access control list is not valid.
      Correct the field that the message names.
21236 E The IP access control list is still in use.
      Remove it from its SIP domains first.
21237 E The IP access control list has as many addresses as it may have.
      Join neighbouring addresses into one network, or begin a second list.
21238 E The IP address is not valid.
      Write an IPv4 or IPv6 address, and a prefix length that fits.
21239 E The account has as many lists as it may have.
      Delete a list that is no longer used.
21240 E The credential list is not valid.
      Correct the field that the message names.
21241 E The credential list is still in use.
      Remove it from its SIP domains first.
21242 E The credential list has as many credentials as it may have.
      Begin a second list and map both.
21243 E The credential is not valid.
      Username at most 32 characters; password at least 12, with a digit, small and capital letters.
21421 E The phone number is not valid.
      Write it in E.164 form: + and country code first, digits only.
21422 E The phone number is not available.
      Another account has it: take it from there first.
21481 E The PageToken is not valid.
      Follow next_page_uri as it is given; do not make tokens.
32001 E More calls a second arrived than are allowed.
      Spread the calls, or raise the limit.
32002 W The SIP domain that was called does not exist here.
      Create the SIP domain, or make one the default for calls to a bare address.
32006 W The call passed through too many SIP servers.
      Look for a loop between your SIP servers.
32007 W The user has as many registered devices as it may have.
      Let devices that are no longer used expire.
32008 W The user registers too often.
      Raise the registration interval of the device.
32009 W The user or client that was called is not registered.
      Check that there is an enabled endpoint of this name in the account.
32011 W The SIP endpoint could not be reached or failed.
      Check that it is running and reachable on the address, port and transport of its URI.
32014 W The call ended because no audio arrived.
      Check the RTP port range in the firewall, and the phone's NAT settings.
32015 W The call reached the longest duration allowed.
      Raise timeLimit if such long calls are wanted.
32018 E TwiML given in a request is longer than 4,000 characters.
      Shorten it, or serve the document from a URL.
32022 E The phone never confirmed the answered call (no ACK).
      Check that the phone can reach the address in our Contact header.
32101 W The phone number in the SIP message is not valid.
      Write it in E.164 form.
32102 W The phone's media description (SDP) cannot be used.
      Enable a common codec such as PCMU or PCMA on the phone.
32103 W The SIP message has no body where it needs one.
      Let the phone send its media description (SDP).
32105 W The Contact header of the SIP message is not valid.
      Correct the phone's own address setting.
32106 E The SIP endpoint refused our credentials.
      Correct username and password of the endpoint or of <Sip>.
32110 W The SIP URI is malformed.
      Write sip:user@host.
32111 W The name of a SIP header is not valid.
      Use letters, digits and hyphens.
32112 W The value of a SIP header is not valid.
      Remove line ends and other control characters, and write % as %25.
32113 W The SIP header may not be sent.
      Begin the name with x-.
32201 E The caller's IP address is not in an access control list of the SIP domain.
      Add the address to an IP access control list that is mapped to the domain.
32202 E The caller's SIP username or password is wrong.
      Compare the phone's settings with the credential lists that are mapped to the domain.
32207 E The phone does not accept encrypted media (SRTP).
      Enable SRTP on the phone, or set the endpoint's SRTP to optional (secure=optional in a SIP URI).
32208 E Encrypted media (SRTP) is required here.
      Enable SRTP on the phone, or untick "secure calls only" on the SIP domain.
32209 E An encrypted transport (TLS) is required here.
      Let the phone use TLS, or untick "secure calls only" on the SIP domain.
32210 E Registration is not enabled for this SIP domain.
      Enable registration on the domain.
32212 W The registration's credentials are wrong.
      Compare the phone's settings with the credential lists that are mapped for registration.
32214 W The <Sip> noun cannot be dialled.
      Correct its URI; the message says what is wrong.
32215 W The region that the SIP URI asks for does not exist, or none was named where one is needed; the default is used.
      Write ;region= with the code or edge of a region of the admin, or leave it out.
32220 E An edge may not be named when a registered phone is dialled.
      Remove ;edge= from the SIP URI.
32221 E No phone of this user is registered in the edge that was named.
      Remove ;edge= from the SIP URI, or register the phone there.
32222 E The TLS version of the phone is not allowed.
      Let the phone use TLS 1.2 or newer.
32223 E The SIP URI of a registered phone has no username.
      Write sip:user@domain.
34002 E The called side was busy.
      Try again later.
34003 E The called side did not answer.
      Try again later.
"""

_HTTP_STATUS = {
    20003: 401,
    20004: 405,
    20005: 403,
    20403: 403,
    20404: 404,
    20413: 413,
    20429: 429,
    20500: 500,
    20503: 503,
}


@dataclass(frozen=True, slots=True)
class ErrorCode:
    """A code with its meaning; `http_status` is that of a REST answer which reports it."""

    code: int
    level: Level
    text: str
    hint: str
    http_status: int


def _entry(head: str, hint: str) -> ErrorCode:
    number, letter, text = head.split(" ", 2)
    code = int(number)
    level: Level = "error" if letter == "E" else "warning"
    return ErrorCode(code, level, text, hint.strip(), _HTTP_STATUS.get(code, 400))


def _catalogue(table: str) -> Mapping[int, ErrorCode]:
    lines = table.strip().splitlines()
    entries = [_entry(head, hint) for head, hint in zip(lines[::2], lines[1::2], strict=True)]
    return MappingProxyType({entry.code: entry for entry in entries})


CATALOGUE: Mapping[int, ErrorCode] = _catalogue(_TABLE)


def lookup(code: int) -> ErrorCode:
    """Return the catalogue's entry; for a code that is not in it, an error that says so."""
    unknown = ErrorCode(code, "error", f"Error {code}.", "The message of this entry says what is known.", 400)
    return CATALOGUE.get(code, unknown)
