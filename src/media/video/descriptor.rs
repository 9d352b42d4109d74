//! The dependency descriptor: which frames a frame needs, outside of the (possibly encrypted) payload. AV1 RTP payload
//! specification, appendix A; used with every codec.
//!
//! Must not know: payloads, order of packets, time.

use super::bits::{BitWriter, Bits};

/// Most templates, decode targets, chains and references; the first two are limits of the format.
const MAX_TEMPLATES: usize = 64;
const MAX_TARGETS: usize = 32;
const MAX_CHAINS: usize = 8;
const MAX_REFERENCES: usize = 8;
const MAX_SPATIAL: usize = 4;

/// Largest descriptor that is written, in bytes.
pub const MAX_DESCRIPTOR: usize = 255;

/// How a frame relates to a decode target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Indication {
    #[default]
    NotPresent,
    Discardable,
    Switch,
    Required,
}

impl Indication {
    fn of(bits: u32) -> Self {
        match bits & 3 {
            0 => Indication::NotPresent,
            1 => Indication::Discardable,
            2 => Indication::Switch,
            _ => Indication::Required,
        }
    }
}

/// A list of fixed room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Few<T, const N: usize> {
    items: [T; N],
    count: u8,
}

impl<T: Copy + Default, const N: usize> Default for Few<T, N> {
    fn default() -> Self {
        Self { items: [T::default(); N], count: 0 }
    }
}

impl<T: Copy, const N: usize> Few<T, N> {
    /// Adds an item; `None` if there is no room.
    fn push(&mut self, item: T) -> Option<()> {
        *self.items.get_mut(usize::from(self.count))? = item;
        self.count += 1;
        Some(())
    }

    pub fn as_slice(&self) -> &[T] {
        &self.items[..usize::from(self.count)]
    }
}

/// A kind of frame that a stream repeats.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Template {
    spatial: u8,
    temporal: u8,
    targets: Few<Indication, MAX_TARGETS>,
    /// Distances to the frames it refers to.
    references: Few<u16, MAX_REFERENCES>,
    /// Distance to the previous frame of each chain.
    chains: Few<u8, MAX_CHAINS>,
}

/// The templates of a stream; sent with each key frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Structure {
    offset: u8,
    target_count: u8,
    /// The chain that protects each decode target.
    protected_by: Few<u8, MAX_TARGETS>,
    chain_count: u8,
    templates: Vec<Template>,
    /// Width and height of each spatial layer, if sent.
    sizes: Few<(u32, u32), MAX_SPATIAL>,
}

/// One frame as its descriptor states it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrameDependencies {
    pub number: u16,
    pub spatial: u8,
    pub temporal: u8,
    /// Numbers of the frames before it that it refers to, as distances. Empty: a key frame, or the start of one.
    pub references: Few<u16, MAX_REFERENCES>,
    /// Width and height of its spatial layer, if sent.
    pub size: Option<(u32, u32)>,
}

/// The first three bytes, which every packet has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mandatory {
    /// First and last packet of the frame (of one spatial layer).
    pub starts: bool,
    pub ends: bool,
    template: u8,
    pub number: u16,
}

/// Reads the part of a descriptor that needs no structure.
pub fn mandatory(bytes: &[u8]) -> Option<Mandatory> {
    let [first, high, low] = *bytes.first_chunk()?;
    let (starts, ends) = (first & 0x80 != 0, first & 0x40 != 0);
    Some(Mandatory { starts, ends, template: first & 0x3f, number: u16::from_be_bytes([high, low]) })
}

/// Whether it brings a new structure, as key frames do.
pub fn has_structure(bytes: &[u8]) -> bool {
    bytes.get(3).is_some_and(|byte| byte & 0x80 != 0)
}

/// Reads descriptors of one stream in order.
#[derive(Clone, Debug, Default)]
pub struct Reader {
    structure: Option<Structure>,
}

impl Reader {
    /// Reads a descriptor; a structure in it replaces the previous one. `None`: it is malformed, or needs a structure
    /// that did not come.
    pub fn read(&mut self, bytes: &[u8]) -> Option<FrameDependencies> {
        let head = mandatory(bytes)?;
        let mut bits = Bits::new(bytes);
        bits.skip(24)?;
        let [mut new_structure, mut active, mut targets, mut references, mut chains] = [false; 5];
        if bytes.len() > 3 {
            for flag in [&mut new_structure, &mut active, &mut targets, &mut references, &mut chains] {
                *flag = bits.flag()?;
            }
        }
        if new_structure {
            self.structure = Some(read_structure(&mut bits)?);
        }
        let structure = self.structure.as_ref()?;
        if active {
            bits.skip(usize::from(structure.target_count))?;
        }
        let index = (head.template + 64 - structure.offset) % 64;
        let template = structure.templates.get(usize::from(index))?;
        if targets {
            bits.skip(2 * usize::from(structure.target_count))?;
        }
        let mut frame = FrameDependencies {
            number: head.number,
            spatial: template.spatial,
            temporal: template.temporal,
            references: template.references,
            size: structure.sizes.as_slice().get(usize::from(template.spatial)).copied(),
        };
        if references {
            frame.references = Few::default();
            loop {
                let size = bits.bits(2)?;
                if size == 0 {
                    break;
                }
                frame.references.push(bits.bits(4 * size)? as u16 + 1)?;
            }
        }
        if chains {
            bits.skip(8 * usize::from(structure.chain_count))?;
        }
        Some(frame)
    }

    /// Forgets the structure: the stream restarted.
    pub fn reset(&mut self) {
        self.structure = None;
    }
}

fn read_structure(bits: &mut Bits<'_>) -> Option<Structure> {
    let offset = bits.bits(6)? as u8;
    let target_count = bits.bits(5)? as u8 + 1;
    let mut templates = Vec::with_capacity(16);
    let (mut spatial, mut temporal) = (0u8, 0u8);
    loop {
        if templates.len() == MAX_TEMPLATES {
            return None;
        }
        templates.push(Template { spatial, temporal, ..Template::default() });
        match bits.bits(2)? {
            0 => {}
            1 => temporal += 1,
            2 => (spatial, temporal) = (spatial + 1, 0),
            _ => break,
        }
        if usize::from(spatial) >= MAX_SPATIAL || temporal > 7 {
            return None;
        }
    }
    for template in &mut templates {
        for _ in 0..target_count {
            template.targets.push(Indication::of(bits.bits(2)?))?;
        }
    }
    for template in &mut templates {
        while bits.flag()? {
            template.references.push(bits.bits(4)? as u16 + 1)?;
        }
    }
    let chain_count = bits.ns(u32::from(target_count) + 1)? as u8;
    if usize::from(chain_count) > MAX_CHAINS {
        return None;
    }
    let mut protected_by = Few::default();
    if chain_count > 0 {
        for _ in 0..target_count {
            protected_by.push(bits.ns(chain_count.into())? as u8)?;
        }
        for template in &mut templates {
            for _ in 0..chain_count {
                template.chains.push(bits.bits(4)? as u8)?;
            }
        }
    }
    let mut sizes = Few::default();
    if bits.flag()? {
        for _ in 0..=spatial {
            sizes.push((bits.bits(16)? + 1, bits.bits(16)? + 1))?;
        }
    }
    Some(Structure { offset, target_count, protected_by, chain_count, templates, sizes })
}

/// The layers of a sent stream. Upper spatial layers refer to lower ones only in key pictures (`L3T3_KEY`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode {
    spatial: u8,
    temporal: u8,
}

impl Mode {
    /// `spatial` and `temporal` layers, 1..=3 each; others are set to the nearest.
    pub fn new(spatial: u8, temporal: u8) -> Self {
        Self { spatial: spatial.clamp(1, 3), temporal: temporal.clamp(1, 3) }
    }

    pub fn spatial(self) -> u8 {
        self.spatial
    }

    pub fn temporal(self) -> u8 {
        self.temporal
    }

    /// Its name (WebRTC-SVC), such as `L1T3` and `L3T3_KEY`.
    pub fn name(self) -> String {
        let suffix = if self.spatial > 1 { "_KEY" } else { "" };
        format!("L{}T{}{suffix}", self.spatial, self.temporal)
    }

    /// Pictures after which the temporal layers repeat.
    fn period(self) -> u32 {
        1 << (self.temporal - 1)
    }

    /// The temporal layer of picture `index` after a key picture.
    pub fn temporal_of(self, index: u32) -> u8 {
        match (self.temporal, index % self.period()) {
            (_, 0) => 0,
            (2, _) | (3, 2) => 1,
            _ => 2,
        }
    }

    /// How a frame of this layer relates to each decode target.
    fn targets(self, key: bool, spatial: u8, temporal: u8) -> Few<Indication, MAX_TARGETS> {
        let mut targets = Few::default();
        for target_spatial in 0..self.spatial {
            for target_temporal in 0..self.temporal {
                let in_layer = if key { target_spatial >= spatial } else { target_spatial == spatial };
                let indication = match () {
                    _ if !in_layer || target_temporal < temporal => Indication::NotPresent,
                    // Nothing of this target refers to its highest temporal layer.
                    _ if temporal > 0 && target_temporal == temporal => Indication::Discardable,
                    _ => Indication::Switch,
                };
                // There is room for nine.
                let _ = targets.push(indication);
            }
        }
        targets
    }
}

/// What [`Writer`] must remember of one spatial layer: the newest frame of each temporal layer.
#[derive(Clone, Copy, Debug, Default)]
struct LayerFrames {
    newest: [Option<u16>; 3],
    chain: Option<u16>,
}

/// Writes the descriptors of one sent stream.
#[derive(Clone, Debug)]
pub struct Writer {
    mode: Mode,
    structure: Structure,
    next: u16,
    layers: [LayerFrames; 3],
}

/// A frame whose descriptors can be written, packet by packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Described {
    number: u16,
    index: usize,
    custom_references: bool,
    custom_chains: bool,
    frame: Template,
    key: bool,
}

impl Writer {
    /// `sizes`: of the spatial layers, lowest first; without them receivers read sizes from payloads.
    pub fn new(mode: Mode, sizes: &[(u32, u32)]) -> Self {
        let mut few = Few::default();
        if sizes.len() == usize::from(mode.spatial) {
            for (width, height) in sizes {
                let _ = few.push(((*width).clamp(1, 65_536), (*height).clamp(1, 65_536)));
            }
        }
        let mut protected_by = Few::default();
        for target in 0..mode.spatial * mode.temporal {
            let _ = protected_by.push(target / mode.temporal);
        }
        let structure = Structure {
            offset: 0,
            target_count: mode.spatial * mode.temporal,
            protected_by,
            chain_count: mode.spatial,
            templates: Vec::new(),
            sizes: few,
        };
        let mut writer = Self { mode, structure, next: 0, layers: Default::default() };
        // The templates are the frames of a key picture and of two periods after it.
        let mut templates: Vec<Template> = Vec::new();
        for picture in 0..=2 * mode.period() {
            for spatial in 0..mode.spatial {
                let (temporal, key) = (mode.temporal_of(picture), picture == 0);
                let (frame, _) = writer.template(key, spatial, temporal);
                writer.record(key, spatial, temporal);
                if !templates.contains(&frame) {
                    templates.push(frame);
                }
            }
        }
        // The order in which the format lists them.
        templates.sort_by_key(|template| (template.spatial, template.temporal));
        writer.structure.templates = templates;
        writer.layers = Default::default();
        writer.next = 0;
        writer
    }

    /// Describes the next frame. In a key picture `key` holds for the frames of all its spatial layers. Layers beyond
    /// the mode count as its highest.
    pub fn frame(&mut self, key: bool, spatial: u8, temporal: u8) -> Described {
        let spatial = spatial.min(self.mode.spatial - 1);
        let temporal = temporal.min(self.mode.temporal - 1);
        let (frame, key) = self.template(key, spatial, temporal);
        let number = self.next;
        self.record(key, spatial, temporal);
        let same_layer = |template: &&Template| {
            (template.spatial, template.temporal, template.targets) == (frame.spatial, frame.temporal, frame.targets)
        };
        let all = || self.structure.templates.iter().enumerate();
        let exact = all().find(|(_, template)| **template == frame);
        let index = exact.or_else(|| all().find(|(_, template)| same_layer(template))).map_or(0, |(index, _)| index);
        let template = self.structure.templates.get(index).copied().unwrap_or_default();
        Described {
            number,
            index,
            custom_references: template.references != frame.references,
            custom_chains: template.chains != frame.chains,
            frame,
            key: key && spatial == 0,
        }
    }

    /// The next frame as a template. A frame without anything to refer to is a key frame, whatever the caller says.
    fn template(&self, key: bool, spatial: u8, temporal: u8) -> (Template, bool) {
        let since = |number: u16| self.next.wrapping_sub(number);
        let layer = &self.layers[usize::from(spatial)];
        let mut references = Few::default();
        let key = key || layer.newest[0].is_none();
        let refers_to = if key {
            // The lower layer of the same picture.
            spatial.checked_sub(1).and_then(|lower| self.layers[usize::from(lower)].newest[0])
        } else {
            // The newest frame of its own kind for the lowest temporal layer, else the newest of those below.
            let below = &layer.newest[..usize::from(temporal).max(1)];
            below.iter().flatten().min_by_key(|number| since(**number)).copied()
        };
        if let Some(number) = refers_to {
            let _ = references.push(since(number));
        }
        let mut chains = Few::default();
        for chain in 0..self.mode.spatial {
            let previous = self.layers[usize::from(chain)].chain;
            // The lowest frame of a key picture begins every chain.
            let previous = previous.filter(|_| !(key && spatial == 0));
            let _ = chains.push(previous.map_or(0, |number| since(number).min(255) as u8));
        }
        let targets = self.mode.targets(key, spatial, temporal);
        (Template { spatial, temporal, targets, references, chains }, key)
    }

    fn record(&mut self, key: bool, spatial: u8, temporal: u8) {
        let number = self.next;
        self.next = number.wrapping_add(1);
        if key && spatial == 0 {
            self.layers = Default::default();
        }
        if key {
            // It is part of the chains of all layers from its own on.
            self.layers.iter_mut().skip(usize::from(spatial)).for_each(|layer| layer.chain = Some(number));
        } else if temporal == 0 {
            self.layers[usize::from(spatial)].chain = Some(number);
        }
        let layer = &mut self.layers[usize::from(spatial)];
        layer.newest[usize::from(temporal)] = Some(number);
        if temporal == 0 {
            // Later frames refer to none before it.
            layer.newest[1..].fill(None);
        }
    }

    /// Writes the descriptor of a packet of a frame; the structure goes with the first packet of a key frame. Returns
    /// its length.
    pub fn write(&self, frame: &Described, first: bool, last: bool, out: &mut [u8; MAX_DESCRIPTOR]) -> usize {
        out.fill(0);
        let length = self.write_bits(frame, first, last, out);
        length.unwrap_or(0)
    }

    fn write_bits(&self, frame: &Described, first: bool, last: bool, out: &mut [u8]) -> Option<usize> {
        let mut bits = BitWriter::new(out);
        bits.flag(first);
        bits.flag(last);
        bits.bits(6, (frame.index as u32 + u32::from(self.structure.offset)) % 64);
        bits.bits(16, frame.number.into());
        let structure = first && frame.key;
        if structure || frame.custom_references || frame.custom_chains {
            bits.flag(structure);
            bits.flag(false);
            bits.flag(false);
            bits.flag(frame.custom_references);
            bits.flag(frame.custom_chains);
            if structure {
                self.write_structure(&mut bits);
            }
            if frame.custom_references {
                for distance in frame.frame.references.as_slice() {
                    let stored = u32::from(distance - 1).min(4_095);
                    let size = (u32::BITS - stored.leading_zeros()).div_ceil(4).max(1);
                    bits.bits(2, size);
                    bits.bits(4 * size, stored);
                }
                bits.bits(2, 0);
            }
            if frame.custom_chains {
                frame.frame.chains.as_slice().iter().for_each(|chain| bits.bits(8, (*chain).into()));
            }
        }
        bits.finish()
    }

    fn write_structure(&self, bits: &mut BitWriter<'_>) {
        let structure = &self.structure;
        bits.bits(6, structure.offset.into());
        bits.bits(5, u32::from(structure.target_count) - 1);
        for (index, template) in structure.templates.iter().enumerate() {
            let next = match structure.templates.get(index + 1) {
                None => 3,
                Some(next) if next.spatial != template.spatial => 2,
                Some(next) => u32::from(next.temporal != template.temporal),
            };
            bits.bits(2, next);
        }
        for template in &structure.templates {
            template.targets.as_slice().iter().for_each(|indication| bits.bits(2, *indication as u32));
        }
        for template in &structure.templates {
            for distance in template.references.as_slice() {
                bits.flag(true);
                bits.bits(4, u32::from(distance - 1));
            }
            bits.flag(false);
        }
        bits.ns(u32::from(structure.target_count) + 1, structure.chain_count.into());
        for chain in structure.protected_by.as_slice() {
            bits.ns(structure.chain_count.into(), (*chain).into());
        }
        for template in &structure.templates {
            template.chains.as_slice().iter().for_each(|chain| bits.bits(4, (*chain).into()));
        }
        bits.flag(!structure.sizes.as_slice().is_empty());
        for (width, height) in structure.sizes.as_slice() {
            bits.bits(16, width - 1);
            bits.bits(16, height - 1);
        }
    }
}

#[cfg(test)]
#[path = "descriptor_tests.rs"]
mod tests;
