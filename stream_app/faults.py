"""Whether a failure of Redis or Kafka may pass by waiting, or somebody must do something."""

from aiokafka.errors import (
    AuthenticationFailedError,
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    IllegalSaslStateError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
    UnsupportedSaslMechanismError,
)

from interaction_usage.store import errors
from stream_app.errors import BrokerDeniedError, PermanentFaultError

_DENIALS = {
    TopicAuthorizationFailedError: "to use a topic that is needed",
    GroupAuthorizationFailedError: "to join its consumer group (USAGE_GROUP)",
    ClusterAuthorizationFailedError: "an action on the cluster that is needed",
    TransactionalIdAuthorizationFailed: "to use a transactional id",
}
_LOGIN = (
    AuthenticationFailedError, SaslAuthenticationFailed, UnsupportedSaslMechanismError,
    IllegalSaslStateError,
)  # fmt: skip


def permanent_fault(error: BaseException) -> str | None:
    """Return a sentence where *error* comes again however long one waits; None where it may pass.

    It says what is wrong and what to do, and shows nothing that could be a secret.
    """
    return denial(error) or errors.permanent_fault(error)


def denial(error: BaseException) -> str | None:
    """Return a sentence where Kafka does not allow what was tried; None for any other *error*."""
    for cause in errors.causes(error):
        if isinstance(cause, BrokerDeniedError):
            return str(cause)
        if isinstance(cause, _LOGIN):
            return "Kafka does not accept the login"
        for kind, what in _DENIALS.items():
            if isinstance(cause, kind):
                return f"Kafka does not allow this worker {what}; grant it with kafka-acls"
    return None


def raise_if_permanent(error: BaseException) -> None:
    """Raise PermanentFaultError where *error* comes again however long one waits."""
    if fault := permanent_fault(error):
        raise PermanentFaultError(fault) from None
