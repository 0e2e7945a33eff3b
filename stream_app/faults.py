"""Whether a failure of Redis or Kafka may pass by waiting, or somebody must do something."""

from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    IllegalSaslStateError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
    UnsupportedSaslMechanismError,
)

from interaction_usage.store import errors
from stream_app.broker import BrokerRefusesError

_REFUSALS = {
    TopicAuthorizationFailedError: "to use a topic that is needed",
    GroupAuthorizationFailedError: "to join its consumer group (USAGE_GROUP)",
    ClusterAuthorizationFailedError: "an action on the cluster that is needed",
    TransactionalIdAuthorizationFailed: "to use a transactional id",
}
_LOGIN = (SaslAuthenticationFailed, UnsupportedSaslMechanismError, IllegalSaslStateError)


class PermanentFaultError(Exception):
    """What Redis or Kafka answers however often it is asked; the message says what to do."""


def permanent_fault(error: BaseException) -> str | None:
    """Return a sentence where *error* comes again however long one waits; None where it may pass.

    It says what is wrong and what to do, and shows nothing that could be a secret.
    """
    for cause in errors.causes(error):
        if isinstance(cause, BrokerRefusesError):
            return str(cause)
        if isinstance(cause, _LOGIN):
            return "Kafka does not accept the login"
        for refusal, what in _REFUSALS.items():
            if isinstance(cause, refusal):
                return f"Kafka does not allow this worker {what}; grant it with kafka-acls"
    return errors.permanent_fault(error)
