"""The conformance kit: whether a component keeps the contract of its kind.

`check` returns a `Report`; `parametrize_with_checks` makes a pytest test of each check; ``lvmbench check`` is
the same on the command line. Partners are found in the catalogue by what they declare, so that no check knows
a component by name.
"""

from lvmbench.checks.contract import Violation as Violation
from lvmbench.checks.report import CheckResult as CheckResult
from lvmbench.checks.report import Outcome as Outcome
from lvmbench.checks.report import Report as Report
from lvmbench.checks.runner import check as check
from lvmbench.checks.testing import parametrize_with_checks as parametrize_with_checks
