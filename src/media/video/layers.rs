//! The layers of a sent track: which simulcast streams or scalable layers there are, and which of them are sent.
//!
//! Must not know: signalling messages, the estimated bandwidth, encoders.

use super::{
    codec::{Codec, Size},
    descriptor::Mode,
};

/// RIDs of simulcast streams, smallest first.
pub const RIDS: [&str; 3] = ["q", "h", "f"];

/// Most layers of a track.
pub const MAX_LAYERS: usize = 3;

/// A layer's quality as SFUs name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Quality {
    Low,
    Medium,
    High,
}

/// What is filmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    Camera,
    Screen,
}

/// How a track is to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlanOptions {
    pub codec: Codec,
    pub content: Content,
    /// Size and rate of the largest layer.
    pub size: Size,
    pub frames_per_second: u32,
    /// Of the largest layer, in bit/s; 0: the usual one for its size and codec.
    pub max_bitrate: u64,
    /// Several layers, if size and codec allow.
    pub layered: bool,
    /// VP9 and AV1: layers in one stream instead of several streams.
    pub scalable: bool,
}

/// One layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlannedLayer {
    /// `None`: the track has one stream.
    pub rid: Option<&'static str>,
    pub quality: Quality,
    pub spatial: u8,
    /// The picture is this many times smaller, in each direction.
    pub scale: u32,
    pub size: Size,
    pub frames_per_second: u32,
    /// Bit/s; without the lower layers in it.
    pub max_bitrate: u64,
}

/// The layers of a track, smallest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerPlan {
    layers: Vec<PlannedLayer>,
    /// The layers inside of each stream.
    mode: Mode,
    scalable: bool,
}

impl LayerPlan {
    pub fn new(options: &PlanOptions) -> Self {
        let scalable = options.scalable && options.codec.has_spatial_layers();
        let count = match options.size.longest() {
            _ if !options.layered || options.content == Content::Screen => 1,
            960.. => 3,
            480.. => 2,
            _ => 1,
        };
        let rate = options.frames_per_second.clamp(1, 120);
        let usual = usual_bitrate(options.codec, options.content, options.size);
        let max_bitrate = if options.max_bitrate > 0 { options.max_bitrate } else { usual };
        let layers = (0..count as u32).map(|index| {
            let from_top = count as u32 - 1 - index;
            let scale = 1 << from_top;
            let size = scaled(options.size, scale);
            // Lower layers keep their share of the largest, if the application chose its rate.
            let share = usual_bitrate(options.codec, options.content, size) as f64 / usual.max(1) as f64;
            PlannedLayer {
                rid: (count > 1 && !scalable).then(|| RIDS[index as usize]),
                quality: quality_of(index as usize, count),
                spatial: if scalable { index as u8 } else { 0 },
                scale,
                size,
                frames_per_second: rate,
                max_bitrate: ((max_bitrate as f64 * share) as u64).clamp(1, max_bitrate),
            }
        });
        let layers = layers.collect();
        let mode = Mode::new(if scalable { count as u8 } else { 1 }, if options.codec == Codec::H264 { 1 } else { 3 });
        Self { layers, mode, scalable }
    }

    pub fn layers(&self) -> &[PlannedLayer] {
        &self.layers
    }

    /// The layers inside of each stream. With H264, and with encoders that cannot make temporal layers, one of each.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// All layers are in one stream.
    pub fn is_scalable(&self) -> bool {
        self.scalable && self.layers.len() > 1
    }

    /// The layers to send, as bits, for receivers that need at most this quality; `None`: nothing is needed. A quality
    /// between two layers stands for the larger. A scalable stream is sent whole or not at all: the SFU drops layers.
    pub fn active(&self, most: Option<Quality>) -> u8 {
        let all = (1u8 << self.layers.len()) - 1;
        let Some(most) = most else { return 0 };
        if self.is_scalable() {
            return all;
        }
        let top = self.layers.iter().position(|layer| layer.quality >= most).unwrap_or(self.layers.len() - 1);
        all & ((2u8 << top) - 1)
    }
}

/// The quality of a layer among `count`: one layer is `High`, two are `Low` and `Medium`.
fn quality_of(index: usize, count: usize) -> Quality {
    match (index, count) {
        (_, 1) => Quality::High,
        (0, _) => Quality::Low,
        (1, _) => Quality::Medium,
        _ => Quality::High,
    }
}

/// A size divided, with even sides as encoders need them.
fn scaled(size: Size, by: u32) -> Size {
    let side = |side: u32| if by == 1 { side } else { ((side / by) & !1).max(2) };
    Size::new(side(size.width), side(size.height))
}

/// Usual rates of VP8 and H264 by number of pixels, in bit/s at 30 frames per second. Rates between are interpolated.
const CAMERA: [(u64, u64); 4] =
    [(320 * 180, 160_000), (640 * 360, 450_000), (1_280 * 720, 1_700_000), (1_920 * 1_080, 3_000_000)];
const SCREEN: [(u64, u64); 2] = [(1_280 * 720, 1_500_000), (1_920 * 1_080, 2_500_000)];

/// The usual maximum for a layer, in bit/s.
pub fn usual_bitrate(codec: Codec, content: Content, size: Size) -> u64 {
    let pixels = u64::from(size.width) * u64::from(size.height);
    let table: &[(u64, u64)] = match content {
        Content::Camera => &CAMERA,
        Content::Screen => &SCREEN,
    };
    let rate = match table.iter().position(|(most, _)| pixels <= *most) {
        Some(0) => (table[0].1 * pixels / table[0].0).max(50_000),
        Some(index) => {
            let ((from, low), (to, high)) = (table[index - 1], table[index]);
            low + (high - low) * (pixels - from) / (to - from)
        }
        None => {
            let (most, rate) = table[table.len() - 1];
            rate.saturating_mul(pixels.min(16 * most)) / most
        }
    };
    match codec {
        Codec::Vp8 | Codec::H264 => rate,
        Codec::Vp9 => rate * 85 / 100,
        Codec::Av1 => rate * 70 / 100,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(codec: Codec, content: Content, width: u32, height: u32, scalable: bool) -> LayerPlan {
        LayerPlan::new(&PlanOptions {
            codec,
            content,
            size: Size::new(width, height),
            frames_per_second: 30,
            max_bitrate: 0,
            layered: true,
            scalable,
        })
    }

    #[test]
    fn plans_of_common_sizes() {
        let three = plan(Codec::Vp8, Content::Camera, 1_280, 720, false);
        let read: Vec<_> = three.layers().iter().map(|l| (l.rid, l.quality, l.size, l.scale, l.max_bitrate)).collect();
        assert_eq!(
            read,
            [
                (Some("q"), Quality::Low, Size::new(320, 180), 4, 160_000),
                (Some("h"), Quality::Medium, Size::new(640, 360), 2, 450_000),
                (Some("f"), Quality::High, Size::new(1_280, 720), 1, 1_700_000),
            ]
        );
        assert_eq!(three.mode().name(), "L1T3");
        let two = plan(Codec::H264, Content::Camera, 480, 640, false);
        assert_eq!(
            two.layers().iter().map(|l| (l.rid, l.quality)).collect::<Vec<_>>(),
            [(Some("q"), Quality::Low), (Some("h"), Quality::Medium)]
        );
        let one = plan(Codec::Vp8, Content::Camera, 320, 240, false);
        assert_eq!((one.layers().len(), one.layers()[0].rid, one.layers()[0].quality), (1, None, Quality::High));
        let svc = plan(Codec::Vp9, Content::Camera, 1_920, 1_080, true);
        assert!(svc.is_scalable() && svc.layers().iter().all(|layer| layer.rid.is_none()));
        assert_eq!((svc.mode().name(), svc.layers()[2].max_bitrate), ("L3T3_KEY".to_owned(), 2_550_000));
        let screen = plan(Codec::Av1, Content::Screen, 1_920, 1_080, true);
        assert_eq!((screen.mode().name(), screen.layers()[0].max_bitrate), ("L1T3".to_owned(), 1_750_000));
        assert!(!plan(Codec::Vp8, Content::Camera, 1_280, 720, true).is_scalable(), "VP8 has no spatial layers");
    }

    #[test]
    fn absurd_sizes_and_rates() {
        for (width, height) in [(0, 0), (1, 1), (u32::MAX, u32::MAX), (u32::MAX, 1), (959, 3)] {
            for max_bitrate in [0, 1, u64::MAX] {
                let plan = LayerPlan::new(&PlanOptions {
                    codec: Codec::Av1,
                    content: Content::Camera,
                    size: Size::new(width, height),
                    frames_per_second: u32::MAX,
                    max_bitrate,
                    layered: true,
                    scalable: false,
                });
                assert!((1..=MAX_LAYERS).contains(&plan.layers().len()));
                assert!(plan.layers().windows(2).all(|pair| pair[0].max_bitrate <= pair[1].max_bitrate));
            }
        }
    }

    #[test]
    fn active_layers_by_requested_quality() {
        let three = plan(Codec::Vp8, Content::Camera, 1_280, 720, false);
        let all = [None, Some(Quality::Low), Some(Quality::Medium), Some(Quality::High)];
        assert_eq!(all.map(|most| three.active(most)), [0, 1, 3, 7]);
        let two = plan(Codec::Vp8, Content::Camera, 640, 360, false);
        assert_eq!(all.map(|most| two.active(most)), [0, 1, 3, 3]);
        let one = plan(Codec::Vp8, Content::Camera, 320, 180, false);
        assert_eq!(all.map(|most| one.active(most)), [0, 1, 1, 1]);
        let svc = plan(Codec::Vp9, Content::Camera, 1_280, 720, true);
        assert_eq!(all.map(|most| svc.active(most)), [0, 7, 7, 7]);
    }
}
