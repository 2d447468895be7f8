//! A reader of MP4 files, independent of the writer: boxes by ISO/IEC 14496-12.

#![allow(dead_code)]

/// Boxes that hold only boxes, after so many bytes of their own.
const NESTS: [(&[u8; 4], usize); 9] = [
    (b"moov", 0),
    (b"trak", 0),
    (b"mdia", 0),
    (b"minf", 0),
    (b"dinf", 0),
    (b"stbl", 0),
    (b"mvex", 0),
    (b"moof", 0),
    (b"traf", 0),
];

/// A box with its place in the file.
#[derive(Clone, Debug)]
pub struct Mp4Box {
    pub kind: String,
    pub at: usize,
    pub body: Vec<u8>,
    pub children: Vec<Mp4Box>,
}

/// Every box of these bytes; panics when they do not fit.
pub fn boxes(bytes: &[u8], base: usize) -> Vec<Mp4Box> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let length = u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
        assert!(length >= 8, "a box of {length} bytes");
        let kind: [u8; 4] = bytes[at + 4..at + 8].try_into().unwrap();
        let body = &bytes[at + 8..at + length];
        let nest = NESTS.iter().find(|(of, _)| **of == kind);
        found.push(Mp4Box {
            kind: String::from_utf8(kind.to_vec()).unwrap(),
            at: base + at,
            body: body.to_vec(),
            children: nest.map_or_else(Vec::new, |(_, skip)| {
                boxes(&body[*skip..], base + at + 8 + skip)
            }),
        });
        at += length;
    }
    found
}

impl Mp4Box {
    /// The only box at a path below this one.
    pub fn at_path(&self, path: &str) -> &Self {
        path.split('/').fold(self, |it, kind| {
            let mut all = it.children.iter().filter(|child| child.kind == kind);
            let first = all.next();
            let first = first.unwrap_or_else(|| panic!("no {kind} in {}", it.kind));
            assert!(all.next().is_none(), "two {kind} in {}", it.kind);
            first
        })
    }

    pub fn u32(&self, at: usize) -> u32 {
        u32::from_be_bytes(self.body[at..at + 4].try_into().unwrap())
    }

    pub fn u64(&self, at: usize) -> u64 {
        u64::from_be_bytes(self.body[at..at + 8].try_into().unwrap())
    }

    pub fn u16(&self, at: usize) -> u16 {
        u16::from_be_bytes(self.body[at..at + 2].try_into().unwrap())
    }
}

/// A sample of a fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    pub track: u32,
    /// The fragment it is in.
    pub fragment: u32,
    /// Decoding time in ticks.
    pub time: u64,
    pub duration: u32,
    pub composition: i32,
    pub sync: bool,
    pub bytes: Vec<u8>,
}

/// A file taken apart.
#[derive(Debug)]
pub struct Mp4 {
    pub boxes: Vec<Mp4Box>,
    pub samples: Vec<Sample>,
}

impl Mp4 {
    /// Reads a whole file; panics when a box or an offset does not fit.
    pub fn read(file: &[u8]) -> Self {
        let it = Self::read_from_anywhere(file);
        let moofs = it.boxes[2..].iter().step_by(2);
        for (number, moof) in moofs.enumerate() {
            let sequence = moof.at_path("mfhd").u32(4);
            assert_eq!(sequence as usize, number + 1, "fragments in order");
        }
        it
    }

    /// The same of a file whose fragments have any numbers.
    pub fn read_from_anywhere(file: &[u8]) -> Self {
        let boxes = boxes(file, 0);
        let kinds: Vec<&str> = boxes.iter().map(|it| it.kind.as_str()).collect();
        assert_eq!(kinds[..2], ["ftyp", "moov"]);
        let samples = samples(&boxes[2..], file);
        Self { boxes, samples }
    }

    pub fn moov(&self) -> &Mp4Box {
        &self.boxes[1]
    }

    /// The track of a number.
    pub fn track(&self, number: u32) -> Option<&Mp4Box> {
        let mut tracks = self.moov().children.iter().filter(|it| it.kind == "trak");
        tracks.find(|it| it.at_path("tkhd").u32(12) == number)
    }

    /// The sample entry of a track: its type, and its bytes after that.
    pub fn entry(&self, number: u32) -> Option<(String, Vec<u8>)> {
        let stsd = &self.track(number)?.at_path("mdia/minf/stbl/stsd").body;
        assert_eq!(stsd[..8], [0, 0, 0, 0, 0, 0, 0, 1]);
        let kind = String::from_utf8(stsd[12..16].to_vec()).unwrap();
        Some((kind, stsd[16..].to_vec()))
    }

    /// Ticks a second of a track.
    pub fn clock(&self, number: u32) -> u32 {
        self.track(number).unwrap().at_path("mdia/mdhd").u32(12)
    }

    /// Samples of a track.
    pub fn of(&self, number: u32) -> Vec<&Sample> {
        let samples = self.samples.iter();
        samples.filter(|sample| sample.track == number).collect()
    }
}

/// Samples of fragments without what comes before them in a file.
pub fn fragments(bytes: &[u8]) -> Vec<Sample> {
    samples(&boxes(bytes, 0), bytes)
}

/// Samples of the fragments in these boxes of a file; panics when an offset does not fit.
fn samples(boxes: &[Mp4Box], file: &[u8]) -> Vec<Sample> {
    let kinds: Vec<&str> = boxes.iter().map(|it| it.kind.as_str()).collect();
    assert!(
        kinds.chunks(2).all(|pair| pair == ["moof", "mdat"]),
        "{kinds:?}"
    );
    let mut samples = Vec::new();
    for pair in boxes.chunks(2) {
        let (moof, mdat) = (&pair[0], &pair[1]);
        let sequence = moof.at_path("mfhd").u32(4);
        let mut held = 0;
        for traf in moof.children.iter().filter(|it| it.kind == "traf") {
            let (tfhd, trun) = (traf.at_path("tfhd"), traf.at_path("trun"));
            assert_eq!(tfhd.u32(0), 0x02_0000, "offsets from the moof");
            assert_eq!(traf.at_path("tfdt").body[0], 1, "times of 64 bits");
            assert_eq!(trun.u32(0), 0x0100_0f01);
            let mut time = traf.at_path("tfdt").u64(4);
            let mut from = moof.at + trun.u32(8) as usize;
            for entry in 0..trun.u32(4) as usize {
                let at = 12 + entry * 16;
                let (duration, size) = (trun.u32(at), trun.u32(at + 4) as usize);
                let data = mdat.at + 8..mdat.at + 8 + mdat.body.len();
                assert!(data.contains(&from) && from + size <= data.end);
                samples.push(Sample {
                    track: tfhd.u32(4),
                    fragment: sequence,
                    time,
                    duration,
                    composition: trun.u32(at + 12) as i32,
                    sync: trun.u32(at + 8) & 0x1_0000 == 0,
                    bytes: file[from..from + size].to_vec(),
                });
                time += u64::from(duration);
                from += size;
                held += size;
            }
        }
        assert_eq!(held, mdat.body.len(), "bytes of no sample");
    }
    samples
}

pub const VIDEO: u32 = 1;
pub const AUDIO: u32 = 2;
