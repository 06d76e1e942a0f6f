//! The wire form of an outcome: consumes what became of one payment, in one flat struct, produces
//! its bytes, and the struct again.

use bytes::{Buf, BufMut};
use prost::{
    DecodeError,
    encoding::{self, DecodeContext, WireType},
};

use crate::wire;

/// What became of one payment; see `payment.proto` for the fields.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct PaymentOutcome {
    /// Big-endian reading of the 16 bytes; 0 when the payment's id could not be read.
    pub payment_id: u128,
    /// A value of [`crate::v1::PaymentStatus`].
    pub status: i32,
    /// A value of [`crate::v1::RejectReason`].
    pub reject_reason: i32,
    /// Position of the payment's event in the journal.
    pub event_sequence: u64,
    /// Lower 64 bits of the minor units moved, held or released.
    pub amount_minor: u64,
    /// Upper 64 bits of the minor units moved, held or released.
    pub amount_minor_high: u64,
    /// This is the first outcome of a known id again.
    pub replayed: bool,
    /// A value of [`crate::v1::RiskDecision`].
    pub risk_decision: i32,
    /// The limit or rule that decided, when the payment was not approved.
    pub risk_reason: String,
}

impl prost::Message for PaymentOutcome {
    fn encode_raw(&self, buf: &mut impl BufMut) {
        wire::put_id(1, self.payment_id, buf);
        wire::put_varint(2, wire::enum_value(self.status), buf);
        wire::put_varint(3, wire::enum_value(self.reject_reason), buf);
        wire::put_varint(4, self.event_sequence, buf);
        wire::put_varint(5, self.amount_minor, buf);
        wire::put_varint(6, self.amount_minor_high, buf);
        wire::put_varint(7, u64::from(self.replayed), buf);
        wire::put_varint(8, wire::enum_value(self.risk_decision), buf);
        if !self.risk_reason.is_empty() {
            encoding::string::encode(9, &self.risk_reason, buf);
        }
    }

    fn encoded_len(&self) -> usize {
        let risk_reason = match self.risk_reason.len() {
            0 => 0,
            _ => encoding::string::encoded_len(9, &self.risk_reason),
        };
        wire::id_len(self.payment_id)
            + wire::varint_len(wire::enum_value(self.status))
            + wire::varint_len(wire::enum_value(self.reject_reason))
            + wire::varint_len(self.event_sequence)
            + wire::varint_len(self.amount_minor)
            + wire::varint_len(self.amount_minor_high)
            + wire::varint_len(u64::from(self.replayed))
            + wire::varint_len(wire::enum_value(self.risk_decision))
            + risk_reason
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buf: &mut impl Buf,
        ctx: DecodeContext,
    ) -> Result<(), DecodeError> {
        match tag {
            1 => self.payment_id = wire::merge_id(wire_type, buf)?.unwrap_or(0),
            2 => self.status = wire::merge_varint(wire_type, buf)? as i32,
            3 => self.reject_reason = wire::merge_varint(wire_type, buf)? as i32,
            4 => self.event_sequence = wire::merge_varint(wire_type, buf)?,
            5 => self.amount_minor = wire::merge_varint(wire_type, buf)?,
            6 => self.amount_minor_high = wire::merge_varint(wire_type, buf)?,
            7 => self.replayed = wire::merge_varint(wire_type, buf)? != 0,
            8 => self.risk_decision = wire::merge_varint(wire_type, buf)? as i32,
            9 => encoding::string::merge(wire_type, &mut self.risk_reason, buf, ctx)?,
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
    use prost_reflect::{DescriptorPool, DynamicMessage};

    use super::*;

    proptest! {
        #[test]
        fn reads_and_writes_what_the_descriptor_says(
            payment_id in prop_oneof![Just(0), any::<u128>()],
            numbers in any::<(i32, i32, u64, u64, u64, i32)>(),
            replayed in any::<bool>(),
            risk_reason in "[a-z-]{0,40}",
        ) {
            let outcome = PaymentOutcome {
                payment_id,
                status: numbers.0,
                reject_reason: numbers.1,
                event_sequence: numbers.2,
                amount_minor: numbers.3,
                amount_minor_high: numbers.4,
                replayed,
                risk_decision: numbers.5,
                risk_reason,
            };
            let encoded = outcome.encode_to_vec();
            prop_assert_eq!(encoded.len(), outcome.encoded_len());
            let pool = DescriptorPool::decode(crate::FILE_DESCRIPTOR_SET).expect("own descriptors");
            let descriptor = pool.get_message_by_name("millrace.v1.PaymentOutcome").expect("is there");
            let naive = DynamicMessage::decode(descriptor, &encoded[..]).expect("valid protobuf");
            prop_assert_eq!(naive.unknown_fields().count(), 0);
            let sequence = naive.get_field_by_name("event_sequence").expect("known field").as_u64();
            prop_assert_eq!(sequence, Some(outcome.event_sequence));
            let reason = naive.get_field_by_name("risk_reason").expect("known field");
            prop_assert_eq!(reason.as_str(), Some(outcome.risk_reason.as_str()));
            let again = PaymentOutcome::decode(&naive.encode_to_vec()[..]).expect("reads");
            prop_assert_eq!(again, outcome);
        }
    }
}
