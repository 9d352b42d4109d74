//! The bounded queue of one mailbox: control items, media items, and marks for what was lost.
//!
//! Pure data, no locks, no threads. Must not know: who posts, who delivers, what the items mean.
//!
//! Control and media have bounds of their own, so a flood of the one cannot push out the other, and
//! come out in the order in which they went in.

use std::collections::VecDeque;

/// What a mailbox hands over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery<C, M> {
    /// A control item (an event).
    Control(C),
    /// A media item.
    Media(M),
    /// `count` control items that should have stood here did not fit or were superseded.
    Lost { count: u64 },
}

/// How a control item is treated when the queue is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// May be lost; a [`Delivery::Lost`] then stands in its place.
    Normal,
    /// Always queued, in room of its own. When that is full too, the newest queued item with the
    /// same key (for instance "state of the call") is superseded and counted as lost.
    Vital(u8),
}

/// Bounds of one mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Normal control items queued at most.
    pub control: usize,
    /// Vital control items queued at most before they supersede each other. Beyond it there is room
    /// for one more per key.
    pub vital: usize,
    /// Media items queued at most; the oldest makes room. 0 refuses all media.
    pub media: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { control: 1024, vital: 64, media: 50 }
    }
}

/// What went through a mailbox so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Control items handed over.
    pub control: u64,
    /// Media items handed over.
    pub media: u64,
    /// Control items lost or superseded.
    pub control_lost: u64,
    /// Media items dropped for newer ones.
    pub media_dropped: u64,
}

#[derive(Debug)]
enum Slot<C> {
    Item { item: C, class: Class },
    Lost(u64),
}

/// Whether a normal item found room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pushed {
    Queued,
    Lost,
}

#[derive(Debug)]
pub(super) struct Queue<C, M> {
    control: VecDeque<(u64, Slot<C>)>,
    media: VecDeque<(u64, M)>,
    /// Place in the common order; 64 bits do not wrap.
    next: u64,
    normal: usize,
    vital: usize,
    limits: Limits,
    pub(super) media_closed: bool,
    pub(super) counts: Counts,
}

impl<C, M> Queue<C, M> {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            control: VecDeque::new(),
            media: VecDeque::new(),
            next: 0,
            normal: 0,
            vital: 0,
            limits,
            media_closed: false,
            counts: Counts::default(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.control.is_empty() && self.media.is_empty()
    }

    fn place(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Queues a control item, or counts it as lost and gives it back (so that the caller can drop
    /// it without a lock held). A superseded vital item is given back the same way.
    pub(super) fn push_control(&mut self, item: C, class: Class) -> (Pushed, Option<C>) {
        let mut superseded = None;
        match class {
            Class::Normal if self.normal >= self.limits.control => {
                self.note_lost(1);
                return (Pushed::Lost, Some(item));
            }
            Class::Normal => self.normal += 1,
            Class::Vital(_) => {
                if self.vital >= self.limits.vital {
                    superseded = self.take_newest(class);
                    if superseded.is_some() {
                        self.note_lost(1);
                    }
                }
                self.vital += 1;
            }
        }
        let place = self.place();
        self.control.push_back((place, Slot::Item { item, class }));
        (Pushed::Queued, superseded)
    }

    /// Queues the last item, for which there is always room.
    pub(super) fn push_last(&mut self, item: C) {
        self.vital += 1;
        let place = self.place();
        self.control.push_back((place, Slot::Item { item, class: Class::Vital(0) }));
    }

    /// Everything that is queued, to be dropped by the caller; nothing of it is counted as lost.
    pub(super) fn clear(&mut self) -> impl Sized {
        (self.normal, self.vital) = (0, 0);
        (std::mem::take(&mut self.control), std::mem::take(&mut self.media))
    }

    /// Queues a media item; gives back the one that made room.
    pub(super) fn push_media(&mut self, item: M) -> Option<M> {
        if self.limits.media == 0 {
            self.counts.media_dropped += 1;
            return Some(item);
        }
        let mut dropped = None;
        if self.media.len() >= self.limits.media {
            dropped = self.media.pop_front().map(|(_, item)| item);
            self.counts.media_dropped += 1;
        }
        let place = self.place();
        self.media.push_back((place, item));
        dropped
    }

    pub(super) fn pop(&mut self) -> Option<Delivery<C, M>> {
        let media_first = match (self.control.front(), self.media.front()) {
            (None, None) => return None,
            (Some((c, _)), Some((m, _))) => m < c,
            (None, Some(_)) => true,
            (Some(_), None) => false,
        };
        if media_first {
            let (_, item) = self.media.pop_front()?;
            self.counts.media += 1;
            return Some(Delivery::Media(item));
        }
        let (_, slot) = self.control.pop_front()?;
        Some(match slot {
            Slot::Lost(count) => Delivery::Lost { count },
            Slot::Item { item, class } => {
                match class {
                    Class::Normal => self.normal -= 1,
                    Class::Vital(_) => self.vital -= 1,
                }
                self.counts.control += 1;
                Delivery::Control(item)
            }
        })
    }

    /// Takes out all media; none is taken any more.
    pub(super) fn close_media(&mut self) -> VecDeque<(u64, M)> {
        self.media_closed = true;
        std::mem::take(&mut self.media)
    }

    /// Marks join their neighbour, so there is never more than one more mark than items.
    fn note_lost(&mut self, count: u64) {
        self.counts.control_lost += count;
        if let Some((_, Slot::Lost(n))) = self.control.back_mut() {
            *n += count;
        } else {
            let place = self.place();
            self.control.push_back((place, Slot::Lost(count)));
        }
    }

    fn take_newest(&mut self, wanted: Class) -> Option<C> {
        let at =
            self.control.iter().rposition(|(_, slot)| matches!(slot, Slot::Item { class, .. } if *class == wanted))?;
        let (_, Slot::Item { item, .. }) = self.control.remove(at)? else { return None };
        self.vital -= 1;
        // Two marks that became neighbours are one.
        if at > 0 {
            if let (Some((_, Slot::Lost(_))), Some((_, Slot::Lost(n)))) =
                (self.control.get(at - 1), self.control.get(at))
            {
                let n = *n;
                self.control.remove(at);
                if let Some((_, Slot::Lost(before))) = self.control.get_mut(at - 1) {
                    *before += n;
                }
            }
        }
        Some(item)
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
        q.push_control(1, Class::Normal);
        q.push_media(2);
        q.push_control(3, Class::Vital(0));
        q.push_media(4);
        use Delivery::*;
        assert_eq!(drain(&mut q), [Control(1), Media(2), Control(3), Media(4)]);
    }

    #[test]
    fn a_mark_stands_where_items_were_lost() {
        let mut q: Queue<u32, u32> = Queue::new(Limits { control: 2, vital: 1, media: 0 });
        for n in 0..5 {
            q.push_control(n, Class::Normal);
        }
        q.push_control(100, Class::Vital(7));
        q.push_control(101, Class::Vital(7));
        use Delivery::*;
        assert_eq!(drain(&mut q), [Control(0), Control(1), Lost { count: 4 }, Control(101)]);
        assert_eq!(q.counts.control_lost, 4);
    }

    #[test]
    fn the_oldest_media_makes_room() {
        let mut q: Queue<u32, u32> = Queue::new(Limits { control: 2, vital: 1, media: 2 });
        assert_eq!(q.push_media(1), None);
        assert_eq!(q.push_media(2), None);
        assert_eq!(q.push_media(3), Some(1));
        assert_eq!(drain(&mut q), [Delivery::Media(2), Delivery::Media(3)]);
        assert_eq!(q.counts.media_dropped, 1);
    }

    #[derive(Clone, Debug)]
    enum Op {
        Normal,
        Vital(u8),
        Media,
        Pop,
    }

    proptest! {
        /// Whatever is posted and popped: bounds hold, order holds, nothing vanishes uncounted, and
        /// of every vital key the last one arrives.
        #[test]
        fn nothing_vanishes(ops in proptest::collection::vec(prop_oneof![
            3 => Just(Op::Normal), 3 => (0u8..4).prop_map(Op::Vital), 2 => Just(Op::Media), 2 => Just(Op::Pop)
        ], 0..300)) {
            let limits = Limits { control: 5, vital: 3, media: 4 };
            let mut q: Queue<(u32, Class), u32> = Queue::new(limits);
            let (mut posted, mut media, mut out) = (0u32, 0u32, Vec::new());
            let mut last_vital = [None; 4];
            for (n, op) in ops.into_iter().enumerate() {
                let n = n as u32;
                match op {
                    Op::Normal => { posted += 1; q.push_control((n, Class::Normal), Class::Normal); }
                    Op::Vital(k) => {
                        posted += 1;
                        last_vital[k as usize] = Some(n);
                        q.push_control((n, Class::Vital(k)), Class::Vital(k));
                    }
                    Op::Media => { media += 1; q.push_media(n); }
                    Op::Pop => out.extend(q.pop()),
                }
                prop_assert!(q.normal <= limits.control);
                prop_assert!(q.vital <= limits.vital + 4);
                prop_assert!(q.media.len() <= limits.media);
                prop_assert!(q.control.len() <= 2 * (q.normal + q.vital) + 1);
            }
            out.extend(std::iter::from_fn(|| q.pop()));
            prop_assert!(q.is_empty() && q.normal == 0 && q.vital == 0);
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
                    Delivery::Lost { count } => { lost += count; continue }
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
