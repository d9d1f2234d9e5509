//! One `table!` set for all databases: Text, BigInt, Bool, Binary, Nullable<Text> only.

diesel::table! { revision (id) { id -> BigInt, current -> BigInt, compacted -> BigInt, cluster_uuid -> Text, } }
diesel::table! {
    resources (kind, name) {
        kind -> Text,
        name -> Text,
        uid -> Text,
        resource_version -> BigInt,
        owner_uid -> Nullable<Text>,
        host -> Nullable<Text>,
        is_open -> Bool,
        metadata -> Text,
        spec -> Text,
        status -> Text,
    }
}
diesel::table! { changes (rv) { rv -> BigInt, kind -> Text, name -> Text, op -> Text, object -> Text, at_micros -> BigInt, } }
diesel::table! { host_claims (host) { host -> Text, owner -> Text, owner_uid -> Text, claim_rank -> BigInt, purpose -> Text, taken_at -> BigInt, } }
diesel::table! { leases (name) { name -> Text, holder -> Text, token -> BigInt, renew_seq -> BigInt, duration_ms -> BigInt, acquired_at -> BigInt, } }
diesel::table! { evidence (host) { host -> Text, version -> BigInt, body -> Text, } }
diesel::table! { secrets (name) { name -> Text, key_id -> Text, nonce -> Binary, ciphertext -> Binary, } }
diesel::table! {
    observations (host, channel) {
        host -> Text,
        channel -> Text,
        says -> Text,
        observed_at -> BigInt,
        received_at -> BigInt,
        ttl_seconds -> BigInt,
        sender -> Text,
        detail -> Text,
    }
}
diesel::table! {
    audit (seq) {
        seq -> BigInt,
        id -> Text,
        at_micros -> BigInt,
        action -> Text,
        outcome -> Text,
        target -> Text,
        target_uid -> Text,
        host -> Text,
        initiator -> Text,
        by_user -> Bool,
        body -> Text,
        key_id -> Text,
        previous -> Text,
        mac -> Text,
    }
}
diesel::table! {
    audit_chain (id) {
        id -> BigInt,
        last_seq -> BigInt,
        last_mac -> Text,
        anchor_seq -> BigInt,
        anchor_mac -> Text,
        key_id -> Text,
        seal -> Text,
    }
}
diesel::table! { outbox (seq) { seq -> BigInt, id -> Text, created_at -> BigInt, body -> Text, } }
diesel::table! {
    deliveries (id) {
        id -> BigInt,
        delivered -> BigInt,
        delivered_at -> BigInt,
        failed_at -> BigInt,
        failure -> Text,
        given_up -> BigInt,
        dropped -> BigInt,
        lost_at -> BigInt,
    }
}
diesel::table! { events (id) { id -> Text, regarding_uid -> Text, body -> Text, last_at -> BigInt, } }
