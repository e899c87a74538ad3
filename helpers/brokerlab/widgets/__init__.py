"""What a learner looks at and clicks: one module a view, all on the base of `LiveView`."""

from brokerlab.widgets.base import LiveView
from brokerlab.widgets.cluster_map import ClusterMap
from brokerlab.widgets.consoles import TwinConsoles
from brokerlab.widgets.topic_board import TopicBoard
from brokerlab.widgets.znode_tree import ZnodeTree

__all__ = ["ClusterMap", "LiveView", "TopicBoard", "TwinConsoles", "ZnodeTree"]
