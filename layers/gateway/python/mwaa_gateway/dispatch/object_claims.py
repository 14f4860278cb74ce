"""Claims to S3 objects: the event of an object for which a command has started a run starts no second one.

The dispatcher asks before the ledger's first write for an upload's event, and only once a command has ever
claimed objects (`Pauses.may_be_claimed`): otherwise nothing is read.
"""

from dataclasses import replace
from typing import Protocol

from mwaa_gateway.dispatch.ledger import UnreadableRow
from mwaa_gateway.dispatch.s3_objects import Upload, claim_on, claims_text, read_claims
from mwaa_gateway.errors import GatewayError
from mwaa_gateway.outcomes import Reason, Retryable
from mwaa_gateway.trigger_request import TriggerRequest, derive_run_id

OWN_IDENTITY = "s3|"  # how the identity of an S3 event begins; a dedupe_key's and a replay's begin otherwise


class ObjectReserved(GatewayError):
    """A command is deciding whether to start the object; its event waits."""


class ObjectClaims(Protocol):
    """The claims to an object for one target of a rule, as text; the target of a rule that collects is "".

    Every call raises Unavailable when it cannot answer.
    """

    def read(self, name: str, rule_id: str, target_id: str) -> str:
        """Return the claims, "" for none; a consistent read."""

    def replace(self, name: str, rule_id: str, target_id: str, seen: str, text: str) -> bool:
        """Replace the claims if they are still as `seen`; return whether they were."""


def as_claimed(request: TriggerRequest, claims: ObjectClaims, now: float) -> TriggerRequest | Retryable:
    """Return the request to start: this one, or the one that a command has started for the same object.

    Retryable while the object is reserved; raises UnreadableRow as `started_as` does.
    """
    upload = Upload.of_event(request.event) if request.identity.startswith(OWN_IDENTITY) else None
    if upload is None:
        return request
    try:
        identity = started_as(upload, request.rule_id, request.target_id, claims, now=now)
    except ObjectReserved as reserved:
        return Retryable(Reason.OBJECT_RESERVED, str(reserved))
    return _with_identity(request, identity) if identity else request


def started_as(
    upload: Upload, rule_id: str, target_id: str, claims: ObjectClaims, *, now: float, text: str | None = None
) -> str:
    """Return the identity of the request that a command has started for the upload's object; "" if there is none.

    `text` are the claims if they have been read. A reservation that has expired is removed.

    Raises:
        ObjectReserved: a command is deciding.
        UnreadableRow: somebody changed the claims by hand.
    """
    if not (upload.version_id or upload.etag):
        return ""
    key = upload.name, rule_id, target_id
    while True:
        text = claims.read(*key) if text is None else text
        try:
            known = read_claims(text)
        except (ValueError, TypeError, KeyError) as error:
            raise UnreadableRow(
                f"cannot read the claims to s3://{upload.bucket}/{upload.key} ({error}): remove the attribute object_claims "
                f"of the items of rule {rule_id!r}, then redrive this message"
            ) from error
        claim = claim_on(upload, known)
        if claim is None:
            return ""
        if claim.state == "started":
            return claim.object_of(upload).identity
        if claim.until > now:
            raise ObjectReserved("`mwaa-gateway reconcile` is deciding whether to start this object")
        claims.replace(*key, text, claims_text(tuple(each for each in known if each != claim)))
        text = None


def _with_identity(request: TriggerRequest, identity: str) -> TriggerRequest:
    run_id = derive_run_id(identity, request.rule_id, request.target_id, request.generation)
    return replace(request, identity=identity, target=replace(request.target, run_id=run_id))
