"""How often an app may ask over HTTP."""

from http import HTTPStatus

from rtmcore.service.admission import SharedRates
from rtmcore.service.context import NodeContext
from rtmcore.service.web.problems import Problem
from rtmcore.service.web.routes import Job


def admit(context: NodeContext, job: Job, rates: SharedRates, name: str) -> None:
    """Count a request against a rate of its app.

    Args:
        context: The node's common ground.
        job: The request, of an operation with documented codes.
        rates: What counts the requests of that rate.
        name: The rate's name, see `config.ALL_RATES`.

    Raises:
        Problem: It comes too often.
    """
    if not context.config.rate_limits:
        return
    rates.use(context.rates[name])
    bucket = rates.of(job.app)
    wait = bucket.wait(context.now)
    if wait:
        context.statistics.rate_limited += 1
        raise Problem(
            HTTPStatus.TOO_MANY_REQUESTS, "The app asks too often over HTTP.", job.codes.TOO_OFTEN, wait
        )
    bucket.admit(context.now)
