"""What a learner looks at and clicks: one module a view, all on the base of `LiveView`."""

from brokerlab.widgets.base import LiveView, NotSeenError
from brokerlab.widgets.cluster_map import ClusterMap

__all__ = ["ClusterMap", "LiveView", "NotSeenError"]
