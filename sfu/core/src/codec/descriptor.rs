//! The dependency descriptor, a header extension that says of each frame which layers need it (AV1 RTP 1.0, appendix A).

use std::sync::Arc;

use crate::codec::active::ActivePlace;
use crate::codec::bits::Bits;
use crate::codec::scale::TIERS;
use crate::codec::{Resolution, Scale, Tier, Tiers};

/// Decode targets of a structure (section A.8.3).
const MAX_TARGETS: usize = 32;
/// Templates of a structure.
const MAX_TEMPLATES: usize = 64;
/// Spatial layers whose size is remembered.
const MAX_SIZES: usize = 4;
/// Bytes of the part that each packet has.
pub(super) const MANDATORY_LEN: usize = 3;

/// What a frame is to a decode target (section A.8.3.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Indication {
    #[default]
    NotPresent,
    Discardable,
    Switch,
    Required,
}

/// The layers of a frame and what it is to the decode targets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Template {
    spatial: u8,
    temporal: u8,
    indications: [Indication; MAX_TARGETS],
}

/// What a keyframe says of all frames behind it: templates, of which each frame names one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Structure {
    /// The identifier of the first template.
    offset: u8,
    /// Decode targets, 1 to 32.
    targets: u8,
    /// At most [`MAX_TEMPLATES`].
    templates: Vec<Template>,
    /// The decode target that each tier stands for.
    by_tier: [u8; TIERS],
    /// Chains.
    chains: u8,
    sizes: [Option<Resolution>; MAX_SIZES],
}

/// One packet's descriptor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Descriptor {
    /// Where it stands among the layers of its stream.
    pub(crate) scale: Scale,
    /// The number of its frame.
    pub(crate) frame: u16,
    /// The structure that it brings.
    structure: Option<Structure>,
    /// Whether it brings one.
    pub(crate) has_structure: bool,
    /// Where its bits stand that say which decode targets are active, or would stand, and how many those are.
    pub(crate) active: ActivePlace,
}

impl Descriptor {
    /// Reads one in a stream whose last structure was `known`; `None` when it is malformed, or names a template that is
    /// not known.
    pub(crate) fn parse(bytes: &[u8], known: Option<&Structure>) -> Option<Self> {
        let mut bits = Bits::new(bytes);
        let (begins, ends) = (bits.flag()?, bits.flag()?);
        let template_id = small(bits.number(6)?)?;
        let frame = u16::try_from(bits.number(16)?).ok()?;
        let mut flags = [false; 5];
        if bytes.len() > MANDATORY_LEN {
            for flag in &mut flags {
                *flag = bits.flag()?;
            }
        }
        let [
            has_structure,
            has_active,
            own_indications,
            own_references,
            own_chains,
        ] = flags;
        let structure = if has_structure {
            Some(Structure::parse(&mut bits)?)
        } else {
            None
        };
        let template_of = structure.as_ref().or(known)?;
        let targets = template_of.targets;
        let at = u16::try_from(bits.position()).ok()?;
        if has_active {
            bits.skip(usize::from(targets))?;
        }
        let mut template = *template_of.template(template_id)?;
        if own_indications {
            template.read_indications(&mut bits, targets)?;
        }
        if own_references {
            skip_own_references(&mut bits)?;
        }
        if own_chains {
            bits.skip(usize::from(template_of.chains) * 8)?;
        }
        let active = ActivePlace {
            at,
            present: if has_active { targets } else { 0 },
            targets,
            end: u16::try_from(bits.position()).ok()?,
        };
        Some(Self {
            scale: template_of.scale(&template, (begins, ends)),
            frame,
            has_structure: structure.is_some(),
            structure,
            active,
        })
    }
}

/// The descriptors of one stream: those behind a keyframe are read with the structure that it brought.
#[derive(Debug, Default)]
pub struct Descriptors {
    /// `None` before the first keyframe that has one.
    structure: Option<Arc<Structure>>,
}

impl Descriptors {
    /// Reads the next one, with the structure that it is read with; `None` when it is malformed, or before a structure.
    pub(crate) fn read(&mut self, bytes: &[u8]) -> Option<(Descriptor, Arc<Structure>)> {
        let mut read = Descriptor::parse(bytes, self.structure.as_deref())?;
        if let Some(structure) = read.structure.take() {
            self.structure = Some(Arc::new(structure));
        }
        Some((read, self.structure.clone()?))
    }

    /// Reads the next one and writes it as a viewer of a tier gets it; `None` when it is
    /// malformed.
    pub fn rewrite(&mut self, bytes: &[u8], tier: Tier) -> Option<(Scale, Vec<u8>)> {
        let (read, structure) = self.read(bytes)?;
        let mut out = Vec::new();
        read.active.write(bytes, structure.active(tier), &mut out);
        Some((read.scale, out))
    }
}

/// Passes over references that are not those of the template: until one says that it is the last.
fn skip_own_references(bits: &mut Bits<'_>) -> Option<()> {
    loop {
        match bits.number(2)? {
            0 => return Some(()),
            size => bits.skip(usize::try_from(size).ok()? * 4)?,
        }
    }
}

impl Template {
    fn read_indications(&mut self, bits: &mut Bits<'_>, targets: u8) -> Option<()> {
        for indication in self.indications.iter_mut().take(usize::from(targets)) {
            *indication = match bits.number(2)? {
                0 => Indication::NotPresent,
                1 => Indication::Discardable,
                2 => Indication::Switch,
                _ => Indication::Required,
            };
        }
        Some(())
    }

    fn is(&self, target: u8, rule: impl Fn(Indication) -> bool) -> bool {
        let indication = self.indications.get(usize::from(target));
        indication.is_some_and(|indication| rule(*indication))
    }
}

impl Structure {
    fn parse(bits: &mut Bits<'_>) -> Option<Self> {
        let offset = small(bits.number(6)?)?;
        let targets = small(bits.number(5)?)? + 1;
        let mut structure = Self {
            offset,
            targets,
            templates: Vec::new(),
            by_tier: [0; TIERS],
            chains: 0,
            sizes: [None; MAX_SIZES],
        };
        structure.read_layers(bits)?;
        for template in &mut structure.templates {
            template.read_indications(bits, targets)?;
        }
        for _ in 0..structure.templates.len() {
            while bits.flag()? {
                bits.skip(4)?;
            }
        }
        structure.read_chains(bits)?;
        let highest = structure.templates.iter().map(|it| it.spatial).max()?;
        if bits.flag()? {
            for spatial in 0..=highest {
                let width = bits.number(16)?.checked_add(1)?;
                let height = bits.number(16)?.checked_add(1)?;
                if let Some(size) = structure.sizes.get_mut(usize::from(spatial)) {
                    *size = Some(Resolution::saturating(width, height));
                }
            }
        }
        structure.by_tier = structure.targets_of_tiers();
        Some(structure)
    }

    fn read_layers(&mut self, bits: &mut Bits<'_>) -> Option<()> {
        let mut layers = Template::default();
        loop {
            if self.templates.len() == MAX_TEMPLATES {
                return None;
            }
            self.templates.push(layers);
            match bits.number(2)? {
                0 => {}
                1 => layers.temporal = layers.temporal.checked_add(1)?,
                2 => (layers.spatial, layers.temporal) = (layers.spatial.checked_add(1)?, 0),
                _ => return Some(()),
            }
            if layers.temporal > 7 || layers.spatial > 3 {
                return None;
            }
        }
    }

    fn read_chains(&mut self, bits: &mut Bits<'_>) -> Option<()> {
        let chains = bits.uniform(u32::from(self.targets) + 1)?;
        self.chains = small(chains)?;
        if chains == 0 {
            return Some(());
        }
        for _ in 0..self.targets {
            bits.uniform(chains)?;
        }
        bits.skip(self.templates.len() * usize::from(self.chains) * 4)
    }

    /// Finds for each tier the decode target of the highest layers that are not above it.
    fn targets_of_tiers(&self) -> [u8; TIERS] {
        let layers = |target: u8| {
            let needed = self.templates.iter();
            let needed = needed.filter(|it| it.is(target, |what| what != Indication::NotPresent));
            needed.fold((0, 0), |(spatial, temporal), it| {
                (it.spatial.max(spatial), it.temporal.max(temporal))
            })
        };
        let mut by_tier = [0; TIERS];
        for (tier, place) in Tier::all().zip(&mut by_tier) {
            // The best tier has all, however many layers there are.
            let has_all = tier.temporal() == Tier::BEST.temporal();
            let fits = |(spatial, temporal): (u8, u8)| {
                spatial <= tier.spatial() && (has_all || temporal <= tier.temporal())
            };
            let known = (0..self.targets).map(|target| (layers(target), target));
            let best = known.filter(|(it, _)| fits(*it)).max_by_key(|(it, _)| *it);
            *place = best.map_or(0, |(_, target)| target);
        }
        by_tier
    }

    /// Returns how large each spatial layer is, as far as it says.
    pub(crate) fn sizes(&self) -> impl Iterator<Item = Resolution> {
        self.sizes.iter().copied().map_while(|size| size)
    }

    /// Returns which decode targets a viewer of a tier has, one bit each, the first one lowest.
    pub(crate) fn active(&self, tier: Tier) -> u32 {
        let own = self.target_of(tier);
        // Those that need no frame that this one does not need.
        let is_within = |target: u8| {
            self.templates.iter().all(|it| {
                let has = |target| it.is(target, |what| what != Indication::NotPresent);
                !has(target) || has(own)
            })
        };
        let within = (0..self.targets).filter(|target| is_within(*target));
        within.fold(0, |bits, target| bits | 1 << target)
    }

    fn target_of(&self, tier: Tier) -> u8 {
        let target = self.by_tier.get(usize::from(tier.place()));
        target.copied().unwrap_or(0)
    }

    fn template(&self, id: u8) -> Option<&Template> {
        let place = (id + 64 - self.offset) % 64;
        self.templates.get(usize::from(place))
    }

    fn scale(&self, template: &Template, (begins, ends): (bool, bool)) -> Scale {
        let with = |rule: fn(Indication) -> bool| {
            Tiers::of(|tier| template.is(self.target_of(tier), rule))
        };
        let needed = with(|what| what != Indication::NotPresent);
        Scale {
            tier: Tier::new(template.spatial, template.temporal),
            needed,
            entry: with(|what| what == Indication::Switch),
            from: needed,
            begins,
            ends,
        }
    }
}

fn small(number: u32) -> Option<u8> {
    u8::try_from(number).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Packs bits, written as text, into bytes.
    fn bytes(bits: &str) -> Vec<u8> {
        let bits: Vec<u8> = bits.bytes().filter(|bit| *bit != b' ').collect();
        let byte = |bits: &[u8]| {
            (0..8).fold(0, |byte, at| {
                byte << 1 | u8::from(bits.get(at) == Some(&b'1'))
            })
        };
        bits.chunks(8).map(byte).collect()
    }

    /// The structure L1T3 of the specification (section A.10.1.3): five templates, three decode targets, one chain.
    fn l1t3() -> String {
        // Behind each template: the same layer again, or the next temporal one; at last none.
        let layers = "00 01 01 00 11";
        let indications = "101010 101010 000110 000001 000001";
        let references = "0 1 0011 0 1 0001 0 1 0000 0 1 0000 0";
        // One chain (of up to three), which protects all; differences of the chain.
        let chains = "01 0000 0100 0010 0001 0011";
        format!(
            "000000 00010 {layers} {indications} {references} {chains} 1 {:016b} {:016b}",
            639, 359
        )
    }

    fn key(active: &str) -> Vec<u8> {
        let flags = if active.is_empty() { "10000" } else { "11000" };
        bytes(&format!(
            "1 0 000000 {:016b} {flags} {} {active}",
            7,
            l1t3()
        ))
    }

    fn tier(temporal: u8) -> Tier {
        Tier::new(0, temporal)
    }

    #[test]
    fn the_layers_of_a_frame_are_read_with_the_structure_of_the_keyframe() {
        let read = Descriptor::parse(&key(""), None).unwrap();
        let structure = read.structure.unwrap();
        assert_eq!((structure.templates.len(), structure.chains), (5, 1));
        assert_eq!(structure.sizes().next().map(|size| size.width), Some(640));
        assert!(read.scale.begins && !read.scale.ends && read.scale.needed.contains(tier(0)));
        let frame = |id: u8| {
            let bytes = bytes(&format!("1 1 {id:06b} {:016b}", 9));
            Descriptor::parse(&bytes, Some(&structure)).unwrap()
        };
        let highest = frame(3).scale;
        assert_eq!(highest.tier, tier(2));
        assert!(highest.needed.contains(Tier::BEST) && !highest.needed.contains(tier(1)));
        assert_eq!(
            frame(1).scale.step(tier(0), Tier::BEST),
            Tier::BEST,
            "a switch"
        );
        assert_eq!(frame(2).scale.step(tier(0), Tier::BEST), tier(0));
        assert_eq!(frame(4).frame, 9);
    }

    #[test]
    fn what_is_active_is_written_and_all_else_stays() {
        let plain = key("");
        let read = Descriptor::parse(&plain, None).unwrap();
        let structure = read.structure.unwrap();
        let active = structure.active(tier(0));
        assert_eq!(active, 0b001);
        let mut rewritten = Vec::new();
        read.active.write(&plain, active, &mut rewritten);
        assert_eq!(rewritten, key("001"));
        let again = Descriptor::parse(&rewritten, None).unwrap();
        assert_eq!(again.scale, read.scale);
        let mut third = Vec::new();
        again.active.write(&rewritten, 0b011, &mut third);
        assert_eq!(third, key("011"));
        let short = bytes(&format!("1 1 000001 {:016b}", 9));
        let read = Descriptor::parse(&short, Some(&structure)).unwrap();
        let mut rewritten = Vec::new();
        read.active.write(&short, active, &mut rewritten);
        assert_eq!(
            rewritten,
            bytes(&format!("1 1 000001 {:016b} 01000 001", 9))
        );
        let again = Descriptor::parse(&rewritten, Some(&structure)).unwrap();
        assert_eq!((again.scale, again.frame), (read.scale, 9));
    }

    #[test]
    fn what_names_no_template_that_is_known_is_not_read() {
        let short = bytes(&format!("1 1 000101 {:016b}", 9));
        assert_eq!(Descriptor::parse(&short, None), None);
        let structure = Descriptor::parse(&key(""), None).unwrap().structure;
        assert_eq!(Descriptor::parse(&short, structure.as_ref()), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(read in proptest::collection::vec(any::<u8>(), 0..80), active in any::<u32>()) {
            let structure = Descriptor::parse(&key(""), None).unwrap().structure;
            for known in [None, structure.as_ref()] {
                if let Some(found) = Descriptor::parse(&read, known) {
                    let mut out = Vec::new();
                    found.active.write(&read, active, &mut out);
                    let again = Descriptor::parse(&out, known).unwrap();
                    prop_assert_eq!(again.scale, found.scale);
                }
            }
        }
    }
}
