"""What a learner looks at and clicks: one module a view, all on the base of `LiveView`."""

from brokerlab.widgets.acks_ladder import AcksLadder
from brokerlab.widgets.assignment_board import AssignmentBoard
from brokerlab.widgets.base import LiveView
from brokerlab.widgets.chaos_panel import ChaosPanel
from brokerlab.widgets.cluster_map import ClusterMap
from brokerlab.widgets.connector_board import ConnectorBoard
from brokerlab.widgets.consoles import TwinConsoles
from brokerlab.widgets.load_bench import LoadBench
from brokerlab.widgets.migration_line import MigrationLine
from brokerlab.widgets.offset_ruler import OffsetRuler
from brokerlab.widgets.partition_lanes import PartitionLanes
from brokerlab.widgets.replica_matrix import ReplicaMatrix
from brokerlab.widgets.request_board import RequestBoard
from brokerlab.widgets.scale_board import ScaleBoard
from brokerlab.widgets.topic_board import TopicBoard
from brokerlab.widgets.watch_line import WatchLine
from brokerlab.widgets.znode_tree import ZnodeTree

__all__ = [
    "AcksLadder",
    "AssignmentBoard",
    "ChaosPanel",
    "ClusterMap",
    "ConnectorBoard",
    "LiveView",
    "LoadBench",
    "MigrationLine",
    "OffsetRuler",
    "PartitionLanes",
    "ReplicaMatrix",
    "RequestBoard",
    "ScaleBoard",
    "TopicBoard",
    "TwinConsoles",
    "WatchLine",
    "ZnodeTree",
]
