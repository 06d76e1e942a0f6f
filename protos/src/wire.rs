//! Fields of the hand-written messages: consumes bytes of the wire, produces ids and numbers, and
//! the same bytes again.

use bytes::{Buf, BufMut};
use prost::{
    DecodeError,
    encoding::{self, WireType},
};

/// Reads a length-delimited id. `None` means that it is not 16 bytes long; empty reads as 0.
pub(crate) fn merge_id(
    wire_type: WireType,
    buf: &mut impl Buf,
) -> Result<Option<u128>, DecodeError> {
    let len = length(wire_type, buf)?;
    if len == 16 {
        let mut bytes = [0; 16];
        buf.copy_to_slice(&mut bytes);
        return Ok(Some(u128::from_be_bytes(bytes)));
    }
    buf.advance(len);
    Ok((len == 0).then_some(0))
}

/// Reads a varint field.
pub(crate) fn merge_varint(wire_type: WireType, buf: &mut impl Buf) -> Result<u64, DecodeError> {
    encoding::check_wire_type(WireType::Varint, wire_type)?;
    encoding::decode_varint(buf)
}

/// Reads the length of a length-delimited field, which is then known to be there.
pub(crate) fn length(wire_type: WireType, buf: &mut impl Buf) -> Result<usize, DecodeError> {
    encoding::check_wire_type(WireType::LengthDelimited, wire_type)?;
    let len = encoding::decode_varint(buf)?;
    if len > buf.remaining() as u64 {
        #[allow(deprecated)]
        return Err(DecodeError::new("buffer underflow"));
    }
    Ok(len as usize)
}

/// Writes an id; 0 is the default and is left out.
pub(crate) fn put_id(tag: u32, id: u128, buf: &mut impl BufMut) {
    if id != 0 {
        encoding::encode_key(tag, WireType::LengthDelimited, buf);
        buf.put_u8(16);
        buf.put_slice(&id.to_be_bytes());
    }
}

/// Bytes that [`put_id`] writes, for tags below 16.
pub(crate) fn id_len(id: u128) -> usize {
    if id == 0 { 0 } else { 18 }
}

/// Writes a varint; 0 is the default and is left out.
pub(crate) fn put_varint(tag: u32, value: u64, buf: &mut impl BufMut) {
    if value != 0 {
        encoding::encode_key(tag, WireType::Varint, buf);
        encoding::encode_varint(value, buf);
    }
}

/// Bytes that [`put_varint`] writes, for tags below 16.
pub(crate) fn varint_len(value: u64) -> usize {
    if value == 0 { 0 } else { 1 + encoding::encoded_len_varint(value) }
}

/// Enums travel as sign-extended 64-bit varints.
pub(crate) fn enum_value(value: i32) -> u64 {
    i64::from(value) as u64
}
