// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! A position in a section, read forward in the byte order of the file.

/// The input ended before the value did.
#[derive(Debug, Clone, Copy)]
pub struct Truncated;

#[derive(Clone, Copy)]
pub struct Cursor<'a> {
    data: &'a [u8],
    pub pos: usize,
    big: bool,
}

macro_rules! fixed {
    ($name:ident, $type:ty, $size:literal) => {
        #[inline]
        pub fn $name(&mut self) -> Result<$type, Truncated> {
            let rest = self.data.get(self.pos..).ok_or(Truncated)?;
            let raw = *rest.first_chunk::<$size>().ok_or(Truncated)?;
            self.pos += $size;
            Ok(if self.big {
                <$type>::from_be_bytes(raw)
            } else {
                <$type>::from_le_bytes(raw)
            })
        }
    };
}

impl<'a> Cursor<'a> {
    pub fn new(data: &'a [u8], pos: usize, big: bool) -> Self {
        Cursor { data, pos, big }
    }

    /// The same, ending at `end`.
    pub fn until(&self, end: usize) -> Self {
        let end = end.min(self.data.len());
        Cursor {
            data: &self.data[..end],
            ..*self
        }
    }

    pub fn at_end(&self) -> bool {
        self.pos >= self.data.len()
    }

    fixed!(u8, u8, 1);
    fixed!(u16, u16, 2);
    fixed!(u32, u32, 4);
    fixed!(u64, u64, 8);

    /// The eight bytes at a place; those past the end count as 0. The position stays.
    #[inline]
    pub fn eight_bytes(&self, place: usize) -> u64 {
        let rest = self.data.get(place..).unwrap_or(&[]);
        let raw = rest.first_chunk().copied().unwrap_or_else(|| {
            let mut padded = [0; 8];
            padded[..rest.len()].copy_from_slice(rest);
            padded
        });
        if self.big {
            u64::from_be_bytes(raw)
        } else {
            u64::from_le_bytes(raw)
        }
    }

    pub fn uint(&mut self, size: u32) -> Result<u64, Truncated> {
        match size {
            1 => self.u8().map(u64::from),
            2 => self.u16().map(u64::from),
            4 => self.u32().map(u64::from),
            8 => self.u64(),
            _ => {
                let raw = self.bytes(size as usize)?;
                let fold = |v: u64, &b: &u8| v << 8 | u64::from(b);
                Ok(if self.big {
                    raw.iter().fold(0, fold)
                } else {
                    raw.iter().rev().fold(0, fold)
                })
            }
        }
    }

    #[inline]
    pub fn skip(&mut self, count: usize) -> Result<(), Truncated> {
        let end = self.pos.checked_add(count).ok_or(Truncated)?;
        if end > self.data.len() {
            return Err(Truncated);
        }
        self.pos = end;
        Ok(())
    }

    pub fn bytes(&mut self, count: usize) -> Result<&'a [u8], Truncated> {
        let start = self.pos;
        self.skip(count)?;
        Ok(&self.data[start..self.pos])
    }

    /// Bytes up to the next NUL, which is consumed.
    pub fn cstr(&mut self) -> Result<&'a [u8], Truncated> {
        let rest = self.data.get(self.pos..).ok_or(Truncated)?;
        // Strings that stand in the DIE itself are a few bytes long: no call for them.
        let len = rest.iter().position(|&b| b == 0).ok_or(Truncated)?;
        self.pos += len + 1;
        Ok(&rest[..len])
    }

    #[inline]
    pub fn uleb(&mut self) -> Result<u64, Truncated> {
        let first = self.u8()?;
        if first < 0x80 {
            return Ok(u64::from(first));
        }
        let mut value = u64::from(first & 0x7f);
        let mut shift = 7;
        loop {
            let byte = self.u8()?;
            if shift < 64 {
                value |= u64::from(byte & 0x7f) << shift;
            }
            shift += 7;
            if byte < 0x80 {
                return Ok(value);
            }
        }
    }

    pub fn sleb(&mut self) -> Result<i64, Truncated> {
        let mut value = 0i64;
        let mut shift = 0;
        loop {
            let byte = self.u8()?;
            if shift < 64 {
                value |= i64::from(byte & 0x7f) << shift;
            }
            shift += 7;
            if byte < 0x80 {
                if shift < 64 && byte & 0x40 != 0 {
                    value |= -1 << shift;
                }
                return Ok(value);
            }
        }
    }

    #[inline]
    pub fn skip_leb(&mut self) -> Result<(), Truncated> {
        while self.u8()? >= 0x80 {}
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_leb128_as_the_standard_shows() {
        // DWARF 5, tables 7.7 and 7.8.
        for (bytes, value) in [
            (&[2][..], 2),
            (&[0x7f], 127),
            (&[0x80, 1], 128),
            (&[0xb9, 0x64], 12857),
        ] {
            assert_eq!(Cursor::new(bytes, 0, false).uleb().ok(), Some(value));
        }
        for (bytes, value) in [
            (&[2][..], 2),
            (&[0x7e], -2),
            (&[0xff, 0], 127),
            (&[0x81, 0x7f], -127),
        ] {
            assert_eq!(Cursor::new(bytes, 0, false).sleb().ok(), Some(value));
        }
    }

    #[test]
    fn ends_where_the_data_end() {
        assert!(Cursor::new(&[0x80], 0, false).uleb().is_err());
        assert!(Cursor::new(&[1, 2, 3], 0, true).u32().is_err());
        assert!(Cursor::new(b"abc", 0, true).cstr().is_err());
        assert!(Cursor::new(&[0; 4], 2, true).skip(usize::MAX).is_err());
    }

    #[test]
    fn follows_the_byte_order() {
        let bytes = [1, 2, 3];
        assert_eq!(Cursor::new(&bytes, 0, true).uint(3).ok(), Some(0x010203));
        assert_eq!(Cursor::new(&bytes, 0, false).uint(3).ok(), Some(0x030201));
    }
}
