from collections.abc import Sequence
from typing import Any

from aiokafka import OffsetAndMetadata, TopicPartition

class GroupCoordinator:
    group_id: str
    generation: int
    member_id: str
    async def ensure_coordinator_known(self) -> None: ...
    async def fetch_committed_offsets(
        self, partitions: Sequence[TopicPartition]
    ) -> dict[TopicPartition, OffsetAndMetadata]: ...
    async def _send_req(self, request: object) -> Any: ...
    def coordinator_dead(self) -> None: ...
