"""How far decisive times lie from deadlines, and the budgets of the default policy that they keep clear of."""

from datetime import timedelta
from typing import Final

MARGIN: Final = timedelta(hours=30)
"""Neither a feed's ordinary lateness nor the speed at which a simulation is played comes so far."""

FIRST_SCAN: Final = timedelta(hours=72)
CLAIM: Final = timedelta(hours=24)
PICKUP: Final = timedelta(hours=24)
LABEL_EXPIRES: Final = timedelta(days=30)
SILENT: Final = {False: timedelta(days=5), True: timedelta(days=7)}
"""International? -> budget, here and below."""
NO_PROGRESS: Final = {False: timedelta(days=7), True: timedelta(days=10)}
TRANSIT: Final = {False: timedelta(days=8), True: timedelta(days=12)}
MISROUTED: Final = timedelta(hours=24)
DELIVERY_FAILED: Final = timedelta(hours=24)
PICKUP_POINT: Final = timedelta(days=5)
NOT_DELIVERED: Final = timedelta(hours=48)
UNEXPECTED: Final = timedelta(hours=24)
INSPECTION: Final = timedelta(hours=48)
PROMISE: Final = timedelta(days=5)
"""Where a request carries no promise of its own."""
AT_RISK: Final = 0.8
STATUTE: Final = timedelta(days=14)
NOT_RETURNED: Final = timedelta(days=30)
LABEL_DAYS: Final = 1
"""Business days, here and below."""
MOVING_DAYS: Final = 1
RESTOCK_DAYS: Final = 2
DECISION_DAYS: Final = 1
REFUND_DAYS: Final = 1
SETTLE_DAYS: Final = 3
