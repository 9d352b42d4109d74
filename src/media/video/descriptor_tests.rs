//! Tests of the dependency descriptor.

use super::*;

fn write(writer: &Writer, frame: &Described) -> Vec<u8> {
    let mut bytes = [0; MAX_DESCRIPTOR];
    let length = writer.write(frame, true, true, &mut bytes);
    bytes[..length].to_vec()
}

/// References of a template list, as (spatial, temporal, distances, chains).
fn listed(writer: &Writer) -> Vec<(u8, u8, Vec<u16>, Vec<u8>)> {
    let templates = writer.structure.templates.iter();
    templates.map(|t| (t.spatial, t.temporal, t.references.as_slice().to_vec(), t.chains.as_slice().to_vec())).collect()
}

#[test]
fn templates_of_l1t3() {
    let writer = Writer::new(Mode::new(1, 3), &[]);
    assert_eq!(
        listed(&writer),
        [
            (0, 0, vec![], vec![0]),
            (0, 0, vec![4], vec![4]),
            (0, 1, vec![2], vec![2]),
            (0, 2, vec![1], vec![1]),
            (0, 2, vec![1], vec![3]),
        ]
    );
    use Indication::*;
    let targets: Vec<_> = writer.structure.templates.iter().map(|t| t.targets.as_slice().to_vec()).collect();
    assert_eq!(targets[1], [Switch, Switch, Switch]);
    assert_eq!(targets[2], [NotPresent, Discardable, Switch]);
    assert_eq!(targets[3], [NotPresent, NotPresent, Discardable]);
}

#[test]
fn every_mode_is_read_as_written_over_the_wrap() {
    for (spatial, temporal) in [(1, 1), (1, 2), (1, 3), (2, 1), (2, 3), (3, 1), (3, 3)] {
        let mode = Mode::new(spatial, temporal);
        let sizes = [(320, 180), (640, 360), (65_536, 65_536)];
        let mut writer = Writer::new(mode, &sizes[..usize::from(spatial)]);
        assert!(writer.structure.templates.len() <= 15, "{}", mode.name());
        writer.next = 65_500;
        let mut reader = Reader::default();
        assert_eq!(reader.read(&[0x80, 0, 0]), None, "no structure yet");
        let mut received = std::collections::HashSet::new();
        let mut customs = 0;
        for picture in 0..40u32 {
            for layer in 0..spatial {
                let frame = writer.frame(picture == 0, layer, mode.temporal_of(picture));
                customs += u32::from(frame.custom_references || frame.custom_chains);
                let bytes = write(&writer, &frame);
                assert_eq!(bytes.len() > 3, picture == 0 && layer == 0, "a template fits every frame");
                let read = reader.read(&bytes).expect("its own descriptor");
                assert_eq!((read.spatial, read.temporal), (layer, mode.temporal_of(picture)));
                assert_eq!(read.size, Some(sizes[usize::from(layer)]));
                for distance in read.references.as_slice() {
                    assert!(received.contains(&read.number.wrapping_sub(*distance)), "{}: {read:?}", mode.name());
                }
                assert_eq!(read.references.as_slice().is_empty(), picture == 0 && layer == 0);
                received.insert(read.number);
            }
        }
        assert_eq!(customs, 0);
    }
    assert_eq!((Mode::new(3, 3).name(), Mode::new(1, 9).name()), ("L3T3_KEY".to_owned(), "L1T3".to_owned()));
}

#[test]
fn frames_that_follow_no_pattern_state_their_references() {
    let mut writer = Writer::new(Mode::new(1, 3), &[]);
    let mut reader = Reader::default();
    let mut state = 3u64;
    let mut newest_base = 0;
    for index in 0..500u16 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let temporal = (state >> 60) as u8 % 3;
        // The first is a key frame, even if the caller does not say so.
        let frame = writer.frame(false, 0, if index == 0 { 0 } else { temporal });
        let read = reader.read(&write(&writer, &frame)).expect("its own descriptor");
        assert_eq!(read.number, index);
        let back: Vec<_> = read.references.as_slice().iter().map(|distance| index - distance).collect();
        if index > 0 && temporal == 0 {
            assert_eq!(back, [newest_base]);
        }
        assert!(back.iter().all(|number| *number >= newest_base));
        if index == 0 || temporal == 0 {
            newest_base = index;
        }
    }
}

#[test]
fn bytes_of_the_specification() {
    // Written by hand from the syntax: L1T1 with one chain, 4×2 pixels.
    // start, end, template 0, number 1 | flags 10000 | offset 0, one target | layers: 0, 3 | targets: S, S |
    // references: none, 1 | one chain: ns(2)=1, protected by 0 (ns(1), no bits) | chains: 0, 1 | sizes.
    let text = concat!(
        "11000000",
        "0000000000000001",
        "10000",
        "000000",
        "00000",
        "00",
        "11",
        "10",
        "10",
        "0",
        "1",
        "0000",
        "0",
        "1",
        "0000",
        "0001",
        "1",
        "0000000000000011",
        "0000000000000001",
    );
    let bits: Vec<u8> = text.bytes().map(|digit| digit - b'0').collect();
    let bytes: Vec<u8> = bits
        .chunks(8)
        .map(|chunk| chunk.iter().enumerate().fold(0, |byte, (at, bit)| byte | bit << (7 - at)))
        .collect();
    let read = Reader::default().read(&bytes).expect("a descriptor");
    assert_eq!((read.number, read.size, read.references.as_slice().len()), (1, Some((4, 2)), 0));
    let mut writer = Writer::new(Mode::new(1, 1), &[(4, 2)]);
    writer.next = 1;
    let frame = writer.frame(true, 0, 0);
    assert_eq!(write(&writer, &frame), bytes);
}

#[test]
fn no_bytes_panic() {
    let mut state = 5u64;
    let mut reader = Reader::default();
    for _ in 0..200_000 {
        let mut bytes = [0u8; 40];
        for byte in &mut bytes {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            *byte = (state >> 56) as u8;
        }
        let length = (state >> 33) as usize % 41;
        let _ = reader.read(&bytes[..length]);
        if let Some(structure) = &reader.structure {
            assert!(structure.templates.len() <= MAX_TEMPLATES);
        }
    }
}
