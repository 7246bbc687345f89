//! The numbers that VP8, VP9 and dependency descriptors give their pictures, and how they go on when the stream
//! changes.

/// Where the numbers of a packet's picture stand, and what they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Picture {
    /// The picture id.
    id: u16,
    width: Width,
    /// The place of the picture id in the payload, or in the dependency descriptor.
    id_at: u8,
    /// TL0PICIDX and its place, where there is one.
    tl0: Option<(u8, u8)>,
    /// Whether each picture has the number behind that of the one before, for every receiver.
    is_counted: bool,
}

/// How many bits a picture id has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Width {
    /// 7.
    Short,
    /// 15.
    Long,
    /// 16: it is the number of a frame in a dependency descriptor.
    Frame,
}

/// The extended number of a first picture, far enough from 0 that some before it can be told.
const FIRST: u64 = 1 << 16;

impl Picture {
    /// Reads the numbers at their places; `None` when a place is behind the payload.
    pub(super) fn read(payload: &[u8], id_at: usize, tl0_at: Option<usize>) -> Option<Self> {
        let &first = payload.get(id_at)?;
        let is_long = first & 0x80 != 0;
        let mut id = u16::from(first & 0x7f);
        if is_long {
            id = id << 8 | u16::from(*payload.get(id_at + 1)?);
        }
        let tl0 = match tl0_at {
            Some(at) => Some((*payload.get(at)?, u8::try_from(at).ok()?)),
            None => None,
        };
        Some(Self {
            id,
            width: if is_long { Width::Long } else { Width::Short },
            id_at: u8::try_from(id_at).ok()?,
            tl0,
            is_counted: false,
        })
    }

    /// Makes one of the number of a frame in a dependency descriptor (AV1 RTP 1.0, section A.8.1).
    pub(crate) fn frame(id: u16) -> Self {
        Self {
            id,
            width: Width::Frame,
            id_at: 1,
            tl0: None,
            is_counted: false,
        }
    }

    /// Returns whether the number stands in a dependency descriptor.
    pub(crate) fn is_frame(&self) -> bool {
        self.width == Width::Frame
    }

    /// Says that receivers count pictures by their numbers.
    pub(super) fn counted(self) -> Self {
        Self {
            is_counted: true,
            ..self
        }
    }

    /// Returns whether receivers count pictures by their numbers: what is left out leaves no hole there.
    pub(crate) fn is_counted(&self) -> bool {
        self.is_counted
    }

    /// Returns the picture id as a number that does not wrap, near to another one; 0 stands for none.
    pub(crate) fn extended(&self, near: u64) -> u64 {
        if near == 0 {
            return FIRST + u64::from(self.id);
        }
        let range: u64 = match self.width {
            Width::Short => 0x80,
            Width::Long => 0x8000,
            Width::Frame => 0x1_0000,
        };
        let ahead = u64::from(self.id).wrapping_sub(near) % range;
        if ahead < range / 2 {
            near + ahead
        } else {
            near.saturating_sub(range - ahead)
        }
    }

    /// Returns the picture id.
    pub fn id(&self) -> u16 {
        self.id
    }

    /// Returns TL0PICIDX, where there is one.
    pub fn tl0(&self) -> Option<u8> {
        self.tl0.map(|(tl0, _)| tl0)
    }
}

/// What is added to a stream's numbers, so that they follow those of another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shift {
    /// Added to picture ids, modulo 2^15 or 2^7.
    id: u16,
    /// Added to TL0PICIDX, modulo 2^8.
    tl0: u8,
}

impl Shift {
    /// Lets `next` follow `latest`, a picture that was sent with its own numbers shifted by `before`.
    pub(crate) fn after(before: Self, latest: &Picture, next: &Picture) -> Self {
        let id = latest.id.wrapping_add(before.id).wrapping_add(1);
        let tl0 = latest.tl0().zip(next.tl0()).map_or(0, |(latest, next)| {
            let last = latest.wrapping_add(before.tl0);
            last.wrapping_add(1).wrapping_sub(next)
        });
        Self {
            id: id.wrapping_sub(next.id),
            tl0,
        }
    }

    /// Shifts picture ids by so much more.
    pub(crate) fn and(self, id: u16) -> Self {
        Self {
            id: self.id.wrapping_add(id),
            ..self
        }
    }

    /// Writes the shifted numbers into a copy of the payload.
    pub(crate) fn apply(self, picture: &Picture, payload: &mut [u8]) {
        let id = picture.id.wrapping_add(self.id);
        let [high, low] = id.to_be_bytes();
        let id_at = usize::from(picture.id_at);
        let place = payload.get_mut(id_at..).unwrap_or_default();
        match (picture.width, place) {
            (Width::Short, [only, ..]) => *only = low & 0x7f,
            (Width::Long, [first, second, ..]) => (*first, *second) = (0x80 | high, low),
            (Width::Frame, [first, second, ..]) => (*first, *second) = (high, low),
            (Width::Short | Width::Long | Width::Frame, _) => {}
        }
        if let Some((tl0, at)) = picture.tl0
            && let Some(place) = payload.get_mut(usize::from(at))
        {
            *place = tl0.wrapping_add(self.tl0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn long(id: u16, tl0: u8) -> (Picture, [u8; 5]) {
        let [high, low] = id.to_be_bytes();
        let payload = [0x90, 0xe0, 0x80 | high, low, tl0];
        (Picture::read(&payload, 2, Some(4)).unwrap(), payload)
    }

    #[test]
    fn the_next_stream_goes_on_where_the_last_one_ended() {
        let (last, _) = long(0x7fff, 255);
        let (next, mut payload) = long(77, 9);
        let shift = Shift::after(Shift::default(), &last, &next);
        shift.apply(&next, &mut payload);
        assert_eq!(payload, long(0, 0).1);

        let (following, mut payload) = long(78, 10);
        shift.apply(&following, &mut payload);
        assert_eq!(payload, long(1, 1).1);

        let (third, mut payload) = long(5, 5);
        let shift = Shift::after(shift, &following, &third);
        shift.apply(&third, &mut payload);
        assert_eq!(payload, long(2, 2).1);
    }

    #[test]
    fn an_extended_number_is_the_nearest_one() {
        let at = |id| long(id, 0).0;
        let first = at(5).extended(0);
        assert_eq!(at(6).extended(first), first + 1);
        assert_eq!(at(4).extended(first), first - 1);
        assert_eq!(at(0x7ffe).extended(first), first - 7);
        let short = Picture::read(&[0x90, 0x80, 0x01], 2, None).unwrap();
        let before = Picture::read(&[0x90, 0x80, 0x7e], 2, None).unwrap();
        let near = before.extended(0);
        assert_eq!(short.extended(near), near + 3);
    }

    #[test]
    fn a_short_number_stays_short() {
        let mut payload = [0x90, 0x80, 0x7e];
        let next = Picture::read(&payload, 2, None).unwrap();
        let (last, _) = long(0x0102, 0);
        Shift::after(Shift::default(), &last, &next).apply(&next, &mut payload);
        assert_eq!(payload, [0x90, 0x80, 0x03]);
    }
}
