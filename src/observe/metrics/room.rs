//! How much room the storage has, as it was last seen. Object stores don't say:
//! there these metrics are absent.

use std::fmt;
use std::sync::{Arc, OnceLock};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

use crate::storage::Room;

/// The room, once there is a store.
pub(super) type Watched = Arc<OnceLock<Room>>;

/// The collector.
pub(super) struct RoomMetrics(pub(super) Watched);

impl fmt::Debug for RoomMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RoomMetrics")
    }
}

impl Collector for RoomMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Some(room) = self.0.get() else {
            return Ok(());
        };
        let Some(space) = room.last() else {
            return Ok(());
        };
        let mut write = |name, help, unit: Option<Unit>, value: u64| {
            let gauge = ConstGauge::new(value);
            let encoder =
                encoder.encode_descriptor(name, help, unit.as_ref(), gauge.metric_type())?;
            gauge.encode(encoder)
        };
        write(
            "wharf_storage_free",
            "Room left on the volume.",
            Some(Unit::Bytes),
            space.free,
        )?;
        write(
            "wharf_storage_size",
            "Room on the volume in all.",
            Some(Unit::Bytes),
            space.total,
        )?;
        write(
            "wharf_storage_low",
            "1 while less is left than limits.freespace wants.",
            None,
            u64::from(room.was_low()),
        )
    }
}
