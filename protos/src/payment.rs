//! The wire form of a payment: consumes protobuf bytes, produces one flat struct, allocates nothing.
//!
//! Guarantees the same bytes and the same reading as the generated message would (see the test
//! against the descriptor), except that a context with no field set counts as absent.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::{
    DecodeError,
    encoding::{self, DecodeContext, WireType},
};

use crate::{
    v1::{Operation, PaymentFlag},
    wire,
};

/// A field that was present but can't be what it claims to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Malformed {
    /// `payment_id` is not 16 bytes long.
    PaymentId = 1,
    /// `debit_account_id` is not 16 bytes long.
    DebitAccountId = 2,
    /// `credit_account_id` is not 16 bytes long.
    CreditAccountId = 4,
    /// `original_payment_id` is not 16 bytes long.
    OriginalPaymentId = 8,
    /// A flag that this version doesn't know.
    Flag = 16,
}

/// Which fields are [`Malformed`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct MalformedFields(u8);

/// One payment as sent. An id of 0 is an absent id; see `payment.proto` for the fields.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Payment {
    /// Big-endian reading of the 16 bytes, as for all ids.
    pub payment_id: u128,
    /// 0 when left out.
    pub debit_account_id: u128,
    /// 0 when left out.
    pub credit_account_id: u128,
    /// 0 when left out.
    pub original_payment_id: u128,
    /// Lower 64 bits of the amount in minor units; `None` when left out.
    pub amount_minor: Option<u64>,
    /// Upper 64 bits of the amount.
    pub amount_minor_high: u64,
    /// ISO 4217 numeric code of the currency.
    pub ledger: u32,
    /// The caller's own number for why the money moves.
    pub code: u32,
    /// A value of [`crate::v1::Operation`].
    pub operation: i32,
    /// Bit `n` is set for flag number `n` of [`PaymentFlag`].
    pub flags: u32,
    /// Seconds until a hold expires; 0 is never.
    pub timeout_seconds: u32,
    /// The encoded [`crate::v1::PaymentContext`], not yet looked into.
    pub context: Bytes,
    /// Fields that were sent in a form that can't be read. Only decoding sets any.
    pub malformed: MalformedFields,
}

impl Payment {
    /// A payment that follows up on another one: its id and its original's, as sent.
    #[must_use]
    pub fn follow_up(operation: Operation, payment_id: &[u8], original_id: &[u8]) -> Self {
        let id = |bytes: &[u8]| match bytes {
            [] => Some(0),
            bytes => bytes.try_into().ok().map(u128::from_be_bytes),
        };
        let mut payment = Self { operation: operation as i32, ..Self::default() };
        payment.set_id(Malformed::PaymentId, id(payment_id));
        payment.set_id(Malformed::OriginalPaymentId, id(original_id));
        payment
    }

    /// Whether the field was sent in a form that can't be read.
    #[must_use]
    pub fn is_malformed(&self, field: Malformed) -> bool {
        self.malformed.0 & field as u8 != 0
    }

    /// Whether any field was sent in a form that can't be read.
    #[must_use]
    pub fn has_malformed(&self) -> bool {
        self.malformed.0 != 0
    }

    /// Whether the flag is set.
    #[must_use]
    pub fn has_flag(&self, flag: PaymentFlag) -> bool {
        self.flags & (1 << flag as u32) != 0
    }

    /// Sets the flag.
    #[must_use]
    pub fn with_flag(mut self, flag: PaymentFlag) -> Self {
        self.flags |= 1 << flag as u32;
        self
    }

    fn set_id(&mut self, field: Malformed, id: Option<u128>) {
        let slot = match field {
            Malformed::PaymentId => &mut self.payment_id,
            Malformed::DebitAccountId => &mut self.debit_account_id,
            Malformed::CreditAccountId => &mut self.credit_account_id,
            Malformed::OriginalPaymentId => &mut self.original_payment_id,
            Malformed::Flag => unreachable!("a flag is not an id"),
        };
        *slot = id.unwrap_or(0);
        match id {
            Some(_) => self.malformed.0 &= !(field as u8),
            None => self.malformed.0 |= field as u8,
        }
    }

    fn set_flag(&mut self, number: u64) {
        match i32::try_from(number).ok().and_then(|n| PaymentFlag::try_from(n).ok()) {
            Some(flag) => self.flags |= 1 << flag as u32,
            None => self.malformed.0 |= Malformed::Flag as u8,
        }
    }

    fn merge_flags(&mut self, wire_type: WireType, buf: &mut impl Buf) -> Result<(), DecodeError> {
        if wire_type == WireType::Varint {
            self.set_flag(encoding::decode_varint(buf)?);
            return Ok(());
        }
        let len = wire::length(wire_type, buf)?;
        let mut packed = buf.take(len);
        while packed.has_remaining() {
            self.set_flag(encoding::decode_varint(&mut packed)?);
        }
        Ok(())
    }

    fn merge_context(
        &mut self,
        wire_type: WireType,
        buf: &mut impl Buf,
    ) -> Result<(), DecodeError> {
        let len = wire::length(wire_type, buf)?;
        let more = buf.copy_to_bytes(len);
        if self.context.is_empty() {
            self.context = more;
        } else {
            // Protobuf merges a message that is sent twice; so does putting the two end to end. What
            // was merged before is ours alone and grows in place: parts may be many.
            let merged = std::mem::take(&mut self.context).try_into_mut();
            let mut merged = merged.unwrap_or_else(|shared| BytesMut::from(&shared[..]));
            merged.extend_from_slice(&more);
            self.context = merged.freeze();
        }
        Ok(())
    }

    /// Numbers of the flags that are set, packed one byte each (all flags are below 128).
    fn packed_flags(&self) -> impl Iterator<Item = u8> {
        let flags = self.flags;
        (0..32).filter(move |bit| flags & (1 << bit) != 0)
    }
}

impl prost::Message for Payment {
    fn encode_raw(&self, buf: &mut impl BufMut) {
        wire::put_id(1, self.payment_id, buf);
        wire::put_id(2, self.debit_account_id, buf);
        wire::put_id(3, self.credit_account_id, buf);
        if let Some(amount) = self.amount_minor {
            encoding::encode_key(4, WireType::Varint, buf);
            encoding::encode_varint(amount, buf);
        }
        wire::put_varint(5, self.amount_minor_high, buf);
        wire::put_varint(6, u64::from(self.ledger), buf);
        wire::put_varint(7, u64::from(self.code), buf);
        wire::put_varint(8, wire::enum_value(self.operation), buf);
        if self.flags != 0 {
            encoding::encode_key(9, WireType::LengthDelimited, buf);
            encoding::encode_varint(u64::from(self.flags.count_ones()), buf);
            self.packed_flags().for_each(|flag| buf.put_u8(flag));
        }
        wire::put_id(10, self.original_payment_id, buf);
        wire::put_varint(11, u64::from(self.timeout_seconds), buf);
        if !self.context.is_empty() {
            encoding::encode_key(12, WireType::LengthDelimited, buf);
            encoding::encode_varint(self.context.len() as u64, buf);
            buf.put_slice(&self.context);
        }
    }

    fn encoded_len(&self) -> usize {
        let flags = match self.flags.count_ones() as usize {
            0 => 0,
            set => 2 + set,
        };
        let context = match self.context.len() {
            0 => 0,
            len => 1 + encoding::encoded_len_varint(len as u64) + len,
        };
        wire::id_len(self.payment_id)
            + wire::id_len(self.debit_account_id)
            + wire::id_len(self.credit_account_id)
            + self.amount_minor.map_or(0, |amount| 1 + encoding::encoded_len_varint(amount))
            + wire::varint_len(self.amount_minor_high)
            + wire::varint_len(u64::from(self.ledger))
            + wire::varint_len(u64::from(self.code))
            + wire::varint_len(wire::enum_value(self.operation))
            + flags
            + wire::id_len(self.original_payment_id)
            + wire::varint_len(u64::from(self.timeout_seconds))
            + context
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buf: &mut impl Buf,
        ctx: DecodeContext,
    ) -> Result<(), DecodeError> {
        match tag {
            1 => self.set_id(Malformed::PaymentId, wire::merge_id(wire_type, buf)?),
            2 => self.set_id(Malformed::DebitAccountId, wire::merge_id(wire_type, buf)?),
            3 => self.set_id(Malformed::CreditAccountId, wire::merge_id(wire_type, buf)?),
            4 => self.amount_minor = Some(wire::merge_varint(wire_type, buf)?),
            5 => self.amount_minor_high = wire::merge_varint(wire_type, buf)?,
            6 => self.ledger = wire::merge_varint(wire_type, buf)? as u32,
            7 => self.code = wire::merge_varint(wire_type, buf)? as u32,
            8 => self.operation = wire::merge_varint(wire_type, buf)? as i32,
            9 => self.merge_flags(wire_type, buf)?,
            10 => self.set_id(Malformed::OriginalPaymentId, wire::merge_id(wire_type, buf)?),
            11 => self.timeout_seconds = wire::merge_varint(wire_type, buf)? as u32,
            12 => self.merge_context(wire_type, buf)?,
            _ => encoding::skip_field(wire_type, tag, buf, ctx)?,
        }
        Ok(())
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message as _;
    use prost_reflect::{DescriptorPool, DynamicMessage, Value};

    use super::*;

    fn dynamic(encoded: &[u8]) -> DynamicMessage {
        let pool = DescriptorPool::decode(crate::FILE_DESCRIPTOR_SET).expect("own descriptors");
        let descriptor = pool.get_message_by_name("millrace.v1.Payment").expect("is there");
        DynamicMessage::decode(descriptor, encoded).expect("valid protobuf")
    }

    fn id(message: &DynamicMessage, field: &str) -> u128 {
        let value = message.get_field_by_name(field).expect("known field");
        let bytes = value.as_bytes().expect("bytes");
        bytes.as_ref().try_into().map_or(0, u128::from_be_bytes)
    }

    fn number(message: &DynamicMessage, field: &str) -> u64 {
        match &*message.get_field_by_name(field).expect("known field") {
            Value::U64(value) => *value,
            Value::U32(value) => u64::from(*value),
            Value::EnumNumber(value) => wire::enum_value(*value),
            other => panic!("{field} is {other:?}"),
        }
    }

    prop_compose! {
        fn any_payment()(
            ids in prop::array::uniform4(prop_oneof![Just(0), any::<u128>()]),
            amount_minor in any::<Option<u64>>(),
            amount_minor_high in prop_oneof![Just(0), any::<u64>()],
            numbers in any::<(u32, u32, i32, u32)>(),
            flags in 0_u32..8,
            reference in "[a-z]{0,200}",
        ) -> Payment {
            let context = crate::v1::PaymentContext { reference, ..Default::default() };
            Payment {
                payment_id: ids[0],
                debit_account_id: ids[1],
                credit_account_id: ids[2],
                original_payment_id: ids[3],
                amount_minor,
                amount_minor_high,
                ledger: numbers.0,
                code: numbers.1,
                operation: numbers.2,
                flags: flags << 1,
                timeout_seconds: numbers.3,
                context: context.encode_to_vec().into(),
                malformed: MalformedFields::default(),
            }
        }
    }

    proptest! {
        #[test]
        fn reads_and_writes_what_the_descriptor_says(payment in any_payment()) {
            let encoded = payment.encode_to_vec();
            prop_assert_eq!(encoded.len(), payment.encoded_len());
            let naive = dynamic(&encoded);
            prop_assert_eq!(id(&naive, "payment_id"), payment.payment_id);
            prop_assert_eq!(id(&naive, "debit_account_id"), payment.debit_account_id);
            prop_assert_eq!(id(&naive, "credit_account_id"), payment.credit_account_id);
            prop_assert_eq!(id(&naive, "original_payment_id"), payment.original_payment_id);
            let amount = naive.has_field_by_name("amount_minor")
                .then(|| number(&naive, "amount_minor"));
            prop_assert_eq!(amount, payment.amount_minor);
            prop_assert_eq!(number(&naive, "amount_minor_high"), payment.amount_minor_high);
            prop_assert_eq!(number(&naive, "ledger"), u64::from(payment.ledger));
            prop_assert_eq!(number(&naive, "code"), u64::from(payment.code));
            prop_assert_eq!(number(&naive, "operation"), wire::enum_value(payment.operation));
            prop_assert_eq!(number(&naive, "timeout_seconds"), u64::from(payment.timeout_seconds));
            let flags = naive.get_field_by_name("flags").expect("known field");
            let flags = flags.as_list().expect("a list").iter()
                .fold(0, |bits, flag| bits | 1 << flag.as_enum_number().expect("an enum"));
            prop_assert_eq!(flags, payment.flags);
            // Bytes that the generic encoder wrote read back the same.
            prop_assert_eq!(&Payment::decode(&naive.encode_to_vec()[..]).expect("reads"), &payment);
            prop_assert_eq!(&Payment::decode(&encoded[..]).expect("reads"), &payment);
        }

        #[test]
        fn never_panics_on_garbage(garbage in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Payment::decode(&garbage[..]);
        }
    }

    #[test]
    fn ids_of_another_length_and_unknown_flags_are_marked() {
        // payment_id of 3 bytes, debit_account_id of 17, flags [1, 99].
        let mut encoded = vec![0x0a, 3, 1, 2, 3, 0x12, 17];
        encoded.extend([7; 17]);
        encoded.extend([0x4a, 2, 1, 99]);
        let payment = Payment::decode(&encoded[..]).expect("well-formed protobuf");
        assert!(payment.is_malformed(Malformed::PaymentId));
        assert!(payment.is_malformed(Malformed::DebitAccountId));
        assert!(!payment.is_malformed(Malformed::CreditAccountId));
        assert!(payment.is_malformed(Malformed::Flag));
        assert!(payment.has_flag(PaymentFlag::Linked));
        assert_eq!(payment.payment_id, 0);
    }

    #[test]
    fn a_context_sent_twice_is_merged() {
        let encoded = [0x62, 2, 0x08, 1, 0x62, 4, 0x32, 2, b'h', b'i'];
        let payment = Payment::decode(&encoded[..]).expect("well-formed protobuf");
        let context = crate::v1::PaymentContext::decode(payment.context).expect("reads");
        assert_eq!((context.channel, context.reference.as_str()), (1, "hi"));
    }

    /// A message may send a context in any number of parts; reading them takes time that grows with
    /// their sum, not with its square.
    #[test]
    fn a_context_in_very_many_parts_is_read() {
        let parts = 100_000;
        let encoded = [0x62_u8, 3, 0x32, 1, b'x'].repeat(parts);
        let payment = Payment::decode(Bytes::from(encoded)).expect("well-formed protobuf");
        assert_eq!(payment.context.len(), 3 * parts);
    }

    #[test]
    fn a_length_past_the_end_is_an_error() {
        assert!(Payment::decode(&[0x0a, 16, 1, 2][..]).is_err());
        assert!(Payment::decode(&[0x62, 200, 1][..]).is_err());
    }
}
