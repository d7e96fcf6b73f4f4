//! Memory for bytes on their way, lent per thread: a connection has a buffer only while bytes are in it.

use std::cell::RefCell;

/// What one read brings at most; a request's or response's head must fit.
pub const BUFFER_SIZE: usize = 16 * 1024;
/// A head is written into less than this nearly always; a scratch that grew is not kept.
const SCRATCH_SIZE: usize = 2048;
const SCRATCH_KEPT: usize = 4096;
/// Beyond so many spare ones, memory goes back to the allocator.
const SPARE: usize = 256;

/// Bytes received and not yet consumed.
pub struct Buffer {
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
}

impl Buffer {
    fn new() -> Self {
        Self {
            bytes: vec![0; BUFFER_SIZE].into_boxed_slice(),
            start: 0,
            end: 0,
        }
    }

    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    #[must_use]
    pub fn is_full(&self) -> bool {
        self.end - self.start == self.bytes.len()
    }

    pub fn consume(&mut self, count: usize) {
        self.start = self.start.saturating_add(count).min(self.end);
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Where the next bytes go; [`Self::filled`] says how many came.
    pub fn room(&mut self) -> &mut [u8] {
        if self.end == self.bytes.len() && self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        &mut self.bytes[self.end..]
    }

    pub fn filled(&mut self, count: usize) {
        self.end += count;
    }
}

#[derive(Default)]
pub struct Buffers {
    buffers: RefCell<Vec<Buffer>>,
    scratches: RefCell<Vec<Vec<u8>>>,
}

impl Buffers {
    pub fn take(&self) -> Buffer {
        let spare = self.buffers.borrow_mut().pop();
        spare.unwrap_or_else(Buffer::new)
    }

    pub fn give(&self, mut buffer: Buffer) {
        let mut buffers = self.buffers.borrow_mut();
        if buffers.len() < SPARE {
            (buffer.start, buffer.end) = (0, 0);
            buffers.push(buffer);
        }
    }

    /// An empty vector to write a head into.
    pub fn scratch(&self) -> Vec<u8> {
        let spare = self.scratches.borrow_mut().pop();
        spare.unwrap_or_else(|| Vec::with_capacity(SCRATCH_SIZE))
    }

    pub fn give_scratch(&self, mut scratch: Vec<u8>) {
        let mut scratches = self.scratches.borrow_mut();
        if scratches.len() < SPARE && (1..=SCRATCH_KEPT).contains(&scratch.capacity()) {
            scratch.clear();
            scratches.push(scratch);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_move_to_the_front_when_the_end_is_reached() {
        let mut buffer = Buffer::new();
        buffer.room().fill(b'a');
        buffer.filled(BUFFER_SIZE);
        assert!(buffer.is_full());
        buffer.consume(BUFFER_SIZE - 2);
        buffer.room()[0] = b'b';
        buffer.filled(1);
        assert_eq!(buffer.bytes(), b"aab");
    }
}
