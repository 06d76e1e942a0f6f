//! Segments: the files that frames are appended to. Consumes sealed frames, produces durable bytes.
//!
//! The next segment is made ready while the present one fills: its blocks are written with zeros,
//! so that a sync of a frame has only the frame's bytes to write and no file system metadata.
//!
//! A segment is preallocated and named after its first event. It starts with a header:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 8 | magic `MLRSEG\r\n` |
//! | 8 | 4 | format version, 1 |
//! | 12 | 4 | zero |
//! | 16 | 16 | journal id: random, the same in all segments of a journal |
//! | 32 | 8 | sequence of the first event |
//! | 40 | 32 | hash of the last frame of the segment before; zeros in the first |
//! | 72 | 4 | CRC-32C of bytes 0 to 71 |
//! | 76 | 52 | zero |
//! | 128 | | frames |

use std::{
    collections::VecDeque,
    fs::{self, File},
    io,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, Sender, bounded};
use millrace_ledger::{EventSeq, Timestamp};

use crate::{
    JournalError,
    frame::{FrameBuffer, FrameHash},
    page_cache, threads,
};

pub(crate) use crate::segment_reader::{Found, SegmentReader, list};

const MAGIC: [u8; 8] = *b"MLRSEG\r\n";
const VERSION: u32 = 1;
/// Where a segment's first frame starts.
pub(crate) const FIRST_FRAME: u64 = 128;
/// A segment that took this long to fill came from small frames, whose syncs are quicker into blocks
/// that were written before. Large frames come faster than blocks could be written twice.
const FILLED_SLOWLY: Duration = Duration::from_secs(5);
/// So many sealed segments stay in the system's page cache, for readers that are close behind.
const SEALED_CACHED: usize = 2;
/// What a segment's name ends with.
pub(crate) const SUFFIX: &str = "segment";

/// Random; tells the segments of one journal from those of another.
pub(crate) type JournalId = [u8; 16];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) journal: JournalId,
    pub(crate) first_seq: EventSeq,
    pub(crate) previous: FrameHash,
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> [u8; FIRST_FRAME as usize] {
        let mut header = [0; FIRST_FRAME as usize];
        header[0..8].copy_from_slice(&MAGIC);
        header[8..12].copy_from_slice(&VERSION.to_le_bytes());
        header[16..32].copy_from_slice(&self.journal);
        header[32..40].copy_from_slice(&self.first_seq.0.to_le_bytes());
        header[40..72].copy_from_slice(&self.previous.0);
        let checksum = crc32c::crc32c(&header[..72]);
        header[72..76].copy_from_slice(&checksum.to_le_bytes());
        header
    }

    pub(crate) fn decode(
        header: &[u8; FIRST_FRAME as usize],
        path: &Path,
    ) -> Result<Self, JournalError> {
        let checksum = crc32c::crc32c(&header[..72]).to_le_bytes();
        if header[0..8] != MAGIC || header[72..76] != checksum {
            let what = "its first 128 bytes are no segment header";
            return Err(JournalError::Damaged { path: path.to_owned(), offset: 0, what });
        }
        let version = u32::from_le_bytes(header[8..12].try_into().expect("4 bytes"));
        if version > VERSION {
            return Err(JournalError::NewerVersion {
                path: path.to_owned(),
                found: version,
                supported: VERSION,
            });
        }
        Ok(Self {
            journal: header[16..32].try_into().expect("16 bytes"),
            first_seq: EventSeq(u64::from_le_bytes(header[32..40].try_into().expect("8 bytes"))),
            previous: FrameHash(header[40..72].try_into().expect("32 bytes")),
        })
    }
}

/// Where frames are written and made durable: apart, so that a test sees that both happen, and when.
pub(crate) trait Disk: std::fmt::Debug + Send + 'static {
    /// Writes all of it at this place.
    fn write(&mut self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Waits until what was written is durable.
    fn sync(&mut self, file: &File) -> io::Result<()>;
}

/// The disk as the system has it.
#[derive(Debug)]
pub(crate) struct SystemDisk;

impl Disk for SystemDisk {
    fn write(&mut self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        file.write_all_at(bytes, offset)
    }

    fn sync(&mut self, file: &File) -> io::Result<()> {
        file.sync_data()
    }
}

/// Appends frames durably, one segment after the other.
#[derive(Debug)]
pub(crate) struct SegmentWriter<D = SystemDisk> {
    disk: D,
    directory: PathBuf,
    segment_bytes: u64,
    journal: JournalId,
    file: File,
    path: PathBuf,
    offset: u64,
    len: u64,
    last: FrameHash,
    /// Segments that were sealed last, oldest first.
    sealed: VecDeque<File>,
    preparer: Preparer,
    /// When the segment that is being filled was begun.
    begun: Instant,
}

impl SegmentWriter {
    /// Starts a journal in an empty directory.
    pub(crate) fn create(directory: &Path, segment_bytes: u64) -> Result<Self, JournalError> {
        Self::create_on(SystemDisk, directory, segment_bytes)
    }

    /// Goes on at the end of the segment that recovery read last.
    pub(crate) fn resume(
        directory: &Path,
        segment_bytes: u64,
        segment: &SegmentReader,
        offset: u64,
        last: FrameHash,
    ) -> Result<Self, JournalError> {
        assert!(!segment.is_archived(), "only sealed segments are archived");
        let path = segment.path.clone();
        let file = File::options()
            .read(true)
            .write(true)
            .open(&path)
            .map_err(JournalError::io("can't write", &path))?;
        Ok(Self {
            disk: SystemDisk,
            directory: directory.to_owned(),
            segment_bytes,
            journal: segment.header.journal,
            file,
            path,
            offset,
            len: segment.len,
            last,
            sealed: VecDeque::new(),
            preparer: Preparer::start(directory, segment_bytes)?,
            begun: Instant::now(),
        })
    }
}

impl<D: Disk> SegmentWriter<D> {
    /// Starts a journal in an empty directory, on this disk.
    pub(crate) fn create_on(
        disk: D,
        directory: &Path,
        segment_bytes: u64,
    ) -> Result<Self, JournalError> {
        let mut journal = [0; 16];
        rustix::rand::getrandom(&mut journal, rustix::rand::GetRandomFlags::empty()).map_err(
            |error| JournalError::io("can't name a journal in", directory)(error.into()),
        )?;
        let header =
            SegmentHeader { journal, first_seq: EventSeq::FIRST, previous: FrameHash::default() };
        let blank = prepare(directory, "first.unfinished", segment_bytes, Blocks::Written)?;
        let (file, path) = name_segment(directory, &header, blank)?;
        Ok(Self {
            disk,
            directory: directory.to_owned(),
            segment_bytes,
            journal,
            file,
            path,
            offset: FIRST_FRAME,
            len: segment_bytes,
            last: FrameHash::default(),
            sealed: VecDeque::new(),
            preparer: Preparer::start(directory, segment_bytes)?,
            begun: Instant::now(),
        })
    }

    /// The journal's id.
    pub(crate) fn journal(&self) -> JournalId {
        self.journal
    }

    /// Hash of the last frame.
    pub(crate) fn head(&self) -> FrameHash {
        self.last
    }

    /// Overwrites what follows the last frame with zeros, so that a torn frame can't be mistaken
    /// for a part of a later one.
    pub(crate) fn blank_rest(&mut self) -> Result<(), JournalError> {
        let error = |error| JournalError::io("can't write", &self.path)(error);
        write_zeros(&self.file, self.offset, self.len).map_err(error)?;
        self.file.sync_all().map_err(error)
    }

    /// Makes what recovery read durable: a process that was killed between the write of its last
    /// frame and the sync, or between the rename of a segment and the directory's sync, left it in
    /// the page cache only. The last frame is written again, because after a failed sync the
    /// system may hold its pages for clean.
    pub(crate) fn settle(&mut self, last_frame: u64) -> Result<(), JournalError> {
        let error = |error| JournalError::io("can't sync", &self.path)(error);
        let mut bytes = vec![0; (self.offset - last_frame) as usize];
        self.file.read_exact_at(&mut bytes, last_frame).map_err(error)?;
        self.file.write_all_at(&bytes, last_frame).map_err(error)?;
        self.file.sync_all().map_err(error)?;
        File::open(&self.directory).and_then(|directory| directory.sync_all()).map_err(error)
    }

    /// Writes a frame and waits until it is durable. Returns its hash.
    ///
    /// # Errors
    /// When the system refuses. Nothing may be released then, and nothing written any more.
    pub(crate) fn append(
        &mut self,
        frame: &mut FrameBuffer,
        first_seq: EventSeq,
        time: Timestamp,
    ) -> Result<FrameHash, JournalError> {
        let (bytes, hash) = frame.seal(self.journal, first_seq, time, self.last);
        if self.offset + bytes.len() as u64 > self.len {
            let header = SegmentHeader { journal: self.journal, first_seq, previous: self.last };
            self.len = self.segment_bytes.max(FIRST_FRAME + bytes.len() as u64);
            let filled_slowly = self.begun.elapsed() >= FILLED_SLOWLY;
            self.begun = Instant::now();
            let prepared = match self.len == self.segment_bytes {
                true => self.preparer.take(),
                false => None,
            };
            let ask_again = prepared.is_some();
            let blank = match prepared {
                Some(Ok(blank)) => blank,
                // Not ready yet, not to be had then, or too small for this frame.
                Some(Err(_)) | None => {
                    prepare(&self.directory, "extra.unfinished", self.len, Blocks::Reserved)?
                }
            };
            let (file, path) = name_segment(&self.directory, &header, blank)?;
            self.sealed.push_back(std::mem::replace(&mut self.file, file));
            self.path = path;
            if ask_again {
                let blocks = if filled_slowly { Blocks::Written } else { Blocks::Reserved };
                let spent = self.sealed.len().saturating_sub(SEALED_CACHED);
                self.preparer.request(blocks, self.sealed.drain(..spent).collect());
            }
            self.offset = FIRST_FRAME;
        }
        let written = self.disk.write(&self.file, bytes, self.offset);
        written.map_err(JournalError::io("can't write", &self.path))?;
        let synced = self.disk.sync(&self.file);
        synced.map_err(JournalError::io("can't sync", &self.path))?;
        self.offset += bytes.len() as u64;
        self.last = hash;
        Ok(hash)
    }
}

/// A segment without a header, under a temporary name.
#[derive(Debug)]
struct Blank {
    file: File,
    path: PathBuf,
}

/// How a blank segment's blocks are made ready.
#[derive(Clone, Copy, Debug)]
enum Blocks {
    /// Written with zeros: slow to make, fast to sync.
    Written,
    /// Only reserved: fast to make, slower to sync.
    Reserved,
}

/// Makes the next segment ready on a thread of its own, which ends with the writer, and releases the
/// pages of sealed ones that readers have had time to read.
#[derive(Debug)]
struct Preparer {
    /// `None` once the thread is to end.
    wanted: Option<Sender<(Blocks, Vec<File>)>>,
    ready: Receiver<Result<Blank, JournalError>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Preparer {
    /// Waits for the thread: it must not touch the directory when another engine may hold it.
    fn drop(&mut self) {
        self.wanted = None;
        if let Some(thread) = self.thread.take() {
            // It has no way to panic, and nothing depends on it any more.
            let _ = thread.join();
        }
    }
}

impl Preparer {
    fn start(directory: &Path, segment_bytes: u64) -> Result<Self, JournalError> {
        let (wanted, requests) = bounded::<(Blocks, Vec<File>)>(1);
        let (blanks, ready) = bounded(1);
        let directory = directory.to_owned();
        let prepare_all = move || {
            for (blocks, spent) in requests {
                let blank = prepare(&directory, "next.unfinished", segment_bytes, blocks);
                if blanks.send(blank).is_err() {
                    return;
                }
                spent.iter().for_each(page_cache::release);
            }
        };
        let thread = threads::spawn("segments", prepare_all)?;
        let preparer = Self { wanted: Some(wanted), ready, thread: Some(thread) };
        preparer.request(Blocks::Written, Vec::new());
        Ok(preparer)
    }

    /// The next segment, or why there is none, if that is known by now.
    fn take(&self) -> Option<Result<Blank, JournalError>> {
        self.ready.try_recv().ok()
    }

    fn request(&self, blocks: Blocks, spent: Vec<File>) {
        // Never more than one at a time: all of them are made under one name.
        if let Some(wanted) = &self.wanted {
            let _ = wanted.try_send((blocks, spent));
        }
    }
}

fn prepare(directory: &Path, name: &str, len: u64, blocks: Blocks) -> Result<Blank, JournalError> {
    let path = directory.join(name);
    let error = |error| JournalError::io("can't create", &path)(error);
    let file = File::options()
        .create(true)
        .truncate(true)
        .read(true)
        .write(true)
        .open(&path)
        .map_err(error)?;
    reserve(&file, len).map_err(error)?;
    if matches!(blocks, Blocks::Written) {
        write_zeros(&file, 0, len).map_err(error)?;
        file.sync_all().map_err(error)?;
    }
    Ok(Blank { file, path })
}

/// Gives a blank segment its header, and its name once that is durable: a segment is there with a
/// whole header, or not at all.
fn name_segment(
    directory: &Path,
    header: &SegmentHeader,
    blank: Blank,
) -> Result<(File, PathBuf), JournalError> {
    let path = directory.join(format!("{:020}.{SUFFIX}", header.first_seq.0));
    let error = |error| JournalError::io("can't create", &path)(error);
    blank.file.write_all_at(&header.encode(), 0).map_err(error)?;
    blank.file.sync_all().map_err(error)?;
    fs::rename(&blank.path, &path).map_err(error)?;
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(error)?;
    Ok((blank.file, path))
}

/// Reserves the space now, so that a full disk shows before a payment depends on it. A file
/// system that can't reserve gets a file of the right length.
fn reserve(file: &File, len: u64) -> io::Result<()> {
    match rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), 0, len) {
        Err(rustix::io::Errno::OPNOTSUPP) => file.set_len(len),
        result => Ok(result?),
    }
}

fn write_zeros(file: &File, from: u64, to: u64) -> io::Result<()> {
    let zeros = vec![0; 1 << 20];
    let mut at = from;
    while at < to {
        let len = (to - at).min(zeros.len() as u64);
        file.write_all_at(&zeros[..len as usize], at)?;
        at += len;
    }
    Ok(())
}
