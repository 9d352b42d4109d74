//! The bounded queue of one mailbox: control items, media items, and markers for lost items.
//!
//! Pure data, no locks, no threads. Must not know: who posts, who delivers, what the items mean.
//!
//! Each class of control items and the media have separate bounds, in items and in bytes, so a flood of one cannot
//! displace the other. Items come out in the order in which they went in.

use super::budget;
use std::collections::VecDeque;

/// One delivery of a mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery<C, M> {
    /// A control item (an event).
    Control(C),
    /// A media item.
    Media(M),
    /// `count` control items that belonged here did not fit or were superseded; `data` counts the participants' data
    /// among them.
    Lost { count: u64, data: DataLost },
}

/// How a control item is treated when the queue is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// May be lost; a [`Delivery::Lost`] then takes its place.
    Normal,
    /// As `Normal`, with separate bounds: who is in the call and what they publish.
    Roster,
    /// Always queued, with separate bounds. When these are reached, the newest queued item with the same key (for
    /// instance "state of the call") is superseded and counted as lost.
    Vital(u64),
    /// Always queued, never superseded: the poster bounds their number.
    Kept,
}

/// Weight of an item: bytes that it holds besides itself, and the data it counts as when it is lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weight {
    pub bytes: usize,
    pub data: DataLost,
}

impl Weight {
    pub fn of(bytes: usize) -> Self {
        Self { bytes, data: DataLost::default() }
    }
}

/// Participants' data among the lost items.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DataLost {
    pub packets: u64,
    pub texts: u64,
    /// Bytes of the packets.
    pub bytes: u64,
}

impl std::ops::AddAssign for DataLost {
    fn add_assign(&mut self, more: Self) {
        self.packets += more.packets;
        self.texts += more.texts;
        self.bytes += more.bytes;
    }
}

/// Bounds of one mailbox. An empty class accepts one item whatever its weight, within the process's budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most normal control items queued.
    pub control: usize,
    /// Most bytes of these.
    pub bytes: usize,
    /// Most items of the class [`Class::Roster`].
    pub roster: usize,
    /// Most bytes of these; usually shared with the roster itself.
    pub roster_bytes: usize,
    /// Most vital control items queued before they supersede each other. Beyond it there is room for one more per key.
    pub vital: usize,
    /// Most media items queued; the oldest makes room. 0 refuses all media.
    pub media: usize,
    /// Most bytes of these.
    pub media_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            control: 1024,
            bytes: 4 << 20,
            roster: 32_768,
            roster_bytes: 16 << 20,
            vital: 64,
            media: 50,
            media_bytes: 8 << 20,
        }
    }
}

/// Totals of a mailbox so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Control items delivered.
    pub control: u64,
    /// Media items delivered.
    pub media: u64,
    /// Control items lost or superseded.
    pub control_lost: u64,
    /// Media items dropped for newer ones.
    pub media_dropped: u64,
    /// Bytes held by queued control items now.
    pub bytes_waiting: usize,
}

#[derive(Debug)]
enum Slot<C> {
    Item { item: C, class: Class, weight: Weight },
    Lost { count: u64, data: DataLost },
}

/// Whether a normal item found room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pushed {
    Queued,
    Lost,
}

/// Queued items of one class.
#[derive(Clone, Copy, Debug, Default)]
struct Room {
    items: usize,
    bytes: usize,
}

impl Room {
    fn add(&mut self, bytes: usize) {
        self.items += 1;
        self.bytes += bytes;
    }

    fn sub(&mut self, bytes: usize) {
        self.items -= 1;
        self.bytes -= bytes;
    }

    fn fits(&self, bytes: usize, items: usize, most: usize) -> bool {
        self.items < items && (self.items == 0 || self.bytes + bytes <= most)
    }
}

#[derive(Debug)]
pub(super) struct Queue<C, M> {
    control: VecDeque<(u64, Slot<C>)>,
    media: VecDeque<(u64, M, usize)>,
    /// Position in the common order; 64 bits do not wrap.
    next: u64,
    normal: Room,
    roster: Room,
    vital: Room,
    kept: Room,
    media_bytes: usize,
    limits: Limits,
    pub(super) media_closed: bool,
    pub(super) counts: Counts,
}

impl<C, M> Drop for Queue<C, M> {
    fn drop(&mut self) {
        budget::give(self.bytes() + self.media_bytes);
    }
}

impl<C, M> Queue<C, M> {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            control: VecDeque::new(),
            media: VecDeque::new(),
            next: 0,
            normal: Room::default(),
            roster: Room::default(),
            vital: Room::default(),
            kept: Room::default(),
            media_bytes: 0,
            limits,
            media_closed: false,
            counts: Counts::default(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.control.is_empty() && self.media.is_empty()
    }

    /// Bytes held by queued control items.
    pub(super) fn bytes(&self) -> usize {
        self.normal.bytes + self.roster.bytes + self.vital.bytes + self.kept.bytes
    }

    fn place(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn room(&mut self, class: Class) -> &mut Room {
        match class {
            Class::Normal => &mut self.normal,
            Class::Roster => &mut self.roster,
            Class::Vital(_) => &mut self.vital,
            Class::Kept => &mut self.kept,
        }
    }

    fn has_room(&self, class: Class, bytes: usize) -> bool {
        let limits = &self.limits;
        let within_class = match class {
            Class::Normal => self.normal.fits(bytes, limits.control, limits.bytes),
            Class::Roster => self.roster.fits(bytes, limits.roster, limits.roster_bytes),
            Class::Vital(_) | Class::Kept => return true,
        };
        within_class && (self.bytes() + bytes <= budget::ALWAYS || budget::has_room(bytes))
    }

    /// Queues a control item, or counts it as lost and returns it (so that the caller can drop it without a lock held).
    /// A superseded vital item is returned the same way.
    pub(super) fn push_control(&mut self, item: C, class: Class, weight: Weight) -> (Pushed, Option<C>) {
        if !self.has_room(class, weight.bytes) {
            self.note_lost(1, weight.data);
            return (Pushed::Lost, Some(item));
        }
        let mut superseded = None;
        if matches!(class, Class::Vital(_)) && self.vital.items >= self.limits.vital {
            if let Some((item, data)) = self.take_newest(class) {
                superseded = Some(item);
                self.note_lost(1, data);
            }
        }
        self.put(item, class, weight);
        (Pushed::Queued, superseded)
    }

    fn put(&mut self, item: C, class: Class, weight: Weight) {
        self.room(class).add(weight.bytes);
        budget::take(weight.bytes);
        let place = self.place();
        self.control.push_back((place, Slot::Item { item, class, weight }));
    }

    fn took(&mut self, class: Class, bytes: usize) {
        self.room(class).sub(bytes);
        budget::give(bytes);
    }

    /// Queues the last item; there is always room for it.
    pub(super) fn push_last(&mut self, item: C) {
        self.put(item, Class::Vital(0), Weight::default());
    }

    /// Takes out everything queued, for the caller to drop; nothing of it is counted as lost.
    pub(super) fn clear(&mut self) -> impl Sized {
        budget::give(self.bytes() + self.media_bytes);
        let none = Room::default();
        (self.normal, self.roster, self.vital, self.kept) = (none, none, none, none);
        self.media_bytes = 0;
        (std::mem::take(&mut self.control), std::mem::take(&mut self.media))
    }

    /// Queues a media item; [`shed_media`](Self::shed_media) then takes out the excess.
    pub(super) fn push_media(&mut self, item: M, bytes: usize) {
        let place = self.place();
        self.media_bytes += bytes;
        budget::take(bytes);
        self.media.push_back((place, item, bytes));
    }

    /// Takes out the oldest media item when there are too many, counted as dropped.
    pub(super) fn shed_media(&mut self) -> Option<M> {
        let (len, limits) = (self.media.len(), &self.limits);
        let within_class = len > limits.media || (len > 1 && self.media_bytes > limits.media_bytes);
        if !within_class && (len <= 1 || self.media_bytes <= budget::ALWAYS || budget::has_room(0)) {
            return None;
        }
        self.counts.media_dropped += 1;
        self.pop_media()
    }

    fn pop_media(&mut self) -> Option<M> {
        let (_, item, bytes) = self.media.pop_front()?;
        self.media_bytes -= bytes;
        budget::give(bytes);
        Some(item)
    }

    pub(super) fn pop(&mut self) -> Option<Delivery<C, M>> {
        let media_first = match (self.control.front(), self.media.front()) {
            (None, None) => return None,
            (Some((c, _)), Some((m, ..))) => m < c,
            (None, Some(_)) => true,
            (Some(_), None) => false,
        };
        if media_first {
            let item = self.pop_media()?;
            self.counts.media += 1;
            return Some(Delivery::Media(item));
        }
        let (_, slot) = self.control.pop_front()?;
        Some(match slot {
            Slot::Lost { count, data } => Delivery::Lost { count, data },
            Slot::Item { item, class, weight } => {
                self.took(class, weight.bytes);
                self.counts.control += 1;
                Delivery::Control(item)
            }
        })
    }

    /// Takes out all media; no more is accepted.
    pub(super) fn close_media(&mut self) -> impl Sized {
        self.media_closed = true;
        budget::give(std::mem::take(&mut self.media_bytes));
        std::mem::take(&mut self.media)
    }

    /// Adjacent markers are merged, so there is at most one more marker than items.
    fn note_lost(&mut self, count: u64, data: DataLost) {
        self.counts.control_lost += count;
        if let Some((_, Slot::Lost { count: n, data: d })) = self.control.back_mut() {
            *n += count;
            *d += data;
        } else {
            let place = self.place();
            self.control.push_back((place, Slot::Lost { count, data }));
        }
    }

    fn take_newest(&mut self, wanted: Class) -> Option<(C, DataLost)> {
        let at =
            self.control.iter().rposition(|(_, slot)| matches!(slot, Slot::Item { class, .. } if *class == wanted))?;
        let (_, Slot::Item { item, class, weight }) = self.control.remove(at)? else { return None };
        self.took(class, weight.bytes);
        // Merge two markers that became adjacent.
        if at > 0 {
            if let (Some((_, Slot::Lost { .. })), Some((_, Slot::Lost { count, data }))) =
                (self.control.get(at - 1), self.control.get(at))
            {
                let (count, data) = (*count, *data);
                self.control.remove(at);
                if let Some((_, Slot::Lost { count: before, data: d })) = self.control.get_mut(at - 1) {
                    *before += count;
                    *d += data;
                }
            }
        }
        Some((item, weight.data))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn drain(q: &mut Queue<u32, u32>) -> Vec<Delivery<u32, u32>> {
        std::iter::from_fn(|| q.pop()).collect()
    }

    #[test]
    fn keeps_the_common_order() {
        let mut q = Queue::new(Limits::default());
        q.push_control(1, Class::Normal, Weight::default());
        q.push_media(2, 0);
        q.push_control(3, Class::Vital(0), Weight::default());
        q.push_media(4, 0);
        use Delivery::*;
        assert_eq!(drain(&mut q), [Control(1), Media(2), Control(3), Media(4)]);
    }

    #[test]
    fn a_mark_stands_where_items_were_lost() {
        let mut q: Queue<u32, u32> = Queue::new(Limits { control: 2, vital: 1, media: 0, ..Limits::default() });
        for n in 0..5 {
            q.push_control(n, Class::Normal, Weight::default());
        }
        q.push_control(100, Class::Vital(7), Weight::default());
        q.push_control(101, Class::Vital(7), Weight::default());
        use Delivery::*;
        assert_eq!(drain(&mut q), [Control(0), Control(1), Lost { count: 4, data: DataLost::default() }, Control(101)]);
        assert_eq!(q.counts.control_lost, 4);
    }

    #[test]
    fn the_oldest_media_makes_room() {
        let mut q: Queue<u32, u32> = Queue::new(Limits { control: 2, vital: 1, media: 2, ..Limits::default() });
        for (n, dropped) in [(1, None), (2, None), (3, Some(1))] {
            q.push_media(n, 10);
            assert_eq!((q.shed_media(), q.shed_media()), (dropped, None));
        }
        assert_eq!(drain(&mut q), [Delivery::Media(2), Delivery::Media(3)]);
        assert_eq!(q.counts.media_dropped, 1);
    }

    #[test]
    fn bytes_are_bounded_per_class() {
        use Delivery::*;
        let limits = Limits { bytes: 100, roster_bytes: 50, media_bytes: 30, ..Limits::default() };
        let mut q: Queue<u32, u32> = Queue::new(limits);
        let text = Weight { bytes: 60, data: DataLost { packets: 0, texts: 1, bytes: 60 } };
        // An item above the bound is accepted when its class is empty.
        q.push_control(1, Class::Roster, Weight::of(500));
        q.push_control(2, Class::Roster, Weight::of(1));
        q.push_control(3, Class::Normal, text);
        q.push_control(4, Class::Normal, text);
        q.push_control(5, Class::Normal, Weight::of(40));
        q.push_control(6, Class::Kept, Weight::of(1_000));
        q.push_control(7, Class::Vital(1), Weight::of(1_000));
        assert_eq!(q.bytes(), 500 + 60 + 40 + 1_000 + 1_000);
        let lost = |texts| Lost { count: 1, data: DataLost { packets: 0, texts, bytes: 60 * texts } };
        let all = [Control(1), lost(0), Control(3), lost(1), Control(5), Control(6), Control(7)];
        assert_eq!(drain(&mut q), all);
        assert_eq!((q.bytes(), q.counts.control_lost), (0, 2));
        for n in 0..4 {
            q.push_media(n, 15);
            let _ = q.shed_media();
        }
        assert_eq!((q.media_bytes, q.counts.media_dropped), (30, 2));
        assert_eq!(drain(&mut q), [Media(2), Media(3)]);
    }

    #[derive(Clone, Debug)]
    enum Op {
        Normal,
        Vital(u64),
        Media,
        Pop,
    }

    proptest! {
        /// For any sequence of posts and pops: bounds and order hold, no item is lost uncounted, and the last item of
        /// every vital key arrives.
        #[test]
        fn nothing_vanishes(ops in proptest::collection::vec(prop_oneof![
            3 => Just(Op::Normal), 3 => (0u64..4).prop_map(Op::Vital), 2 => Just(Op::Media), 2 => Just(Op::Pop)
        ], 0..300)) {
            let limits = Limits { control: 5, vital: 3, media: 4, ..Limits::default() };
            let mut q: Queue<(u32, Class), u32> = Queue::new(limits);
            let (mut posted, mut media, mut out) = (0u32, 0u32, Vec::new());
            let mut last_vital = [None; 4];
            for (n, op) in ops.into_iter().enumerate() {
                let n = n as u32;
                match op {
                    Op::Normal => { posted += 1; q.push_control((n, Class::Normal), Class::Normal, Weight::default()); }
                    Op::Vital(k) => {
                        posted += 1;
                        last_vital[k as usize] = Some(n);
                        q.push_control((n, Class::Vital(k)), Class::Vital(k), Weight::default());
                    }
                    Op::Media => { media += 1; q.push_media(n, 10); let _ = q.shed_media(); }
                    Op::Pop => out.extend(q.pop()),
                }
                prop_assert!(q.normal.items <= limits.control);
                prop_assert!(q.vital.items <= limits.vital + 4);
                prop_assert!(q.media.len() <= limits.media);
                prop_assert!(q.control.len() <= 2 * (q.normal.items + q.vital.items) + 1);
            }
            out.extend(std::iter::from_fn(|| q.pop()));
            prop_assert!(q.is_empty() && q.normal.items == 0 && q.vital.items == 0);
            let (mut seen, mut lost, mut seen_media, mut last) = (0u32, 0u64, 0u32, None);
            for d in &out {
                let at = match d {
                    Delivery::Control((n, class)) => {
                        seen += 1;
                        if let Class::Vital(k) = class {
                            if last_vital[*k as usize] == Some(*n) { last_vital[*k as usize] = None; }
                        }
                        *n
                    }
                    Delivery::Media(n) => { seen_media += 1; *n }
                    Delivery::Lost { count, .. } => { lost += count; continue }
                };
                prop_assert!(last < Some(at));
                last = Some(at);
            }
            prop_assert_eq!(u64::from(seen) + lost, u64::from(posted));
            prop_assert_eq!(lost, q.counts.control_lost);
            prop_assert_eq!(u64::from(seen_media) + q.counts.media_dropped, u64::from(media));
            prop_assert_eq!(last_vital, [None; 4]);
        }
    }
}
