//! The promises of [`Store`], one function each, for every back end.
//!
//! A clause gets two handles on one empty store, as two processes have: what
//! one did, the other must see. [`stamp_contract`] makes a test of each clause.
//! What survives a power cut can't be shown here: `files/durable_tests.rs`
//! shows the order of writes.

pub(crate) mod aside;
pub(crate) mod passing;
pub(crate) mod prefixes;
pub(crate) mod records;
pub(crate) mod uploads;

use std::any::Any;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{TryStreamExt as _, stream};

use super::{ByteStream, Key, Reading, Stage, Store, layout};
use crate::oci::{Algorithm, Digest, RepositoryName, Tag, UploadId};

/// Two handles on one store, and what keeps it alive.
pub(crate) struct Bench {
    pub(crate) one: Arc<dyn Store>,
    pub(crate) other: Arc<dyn Store>,
    pub(crate) _guard: Box<dyn Any>,
}

/// Makes a test of every clause for one back end: `$bench` is an async function
/// that returns a fresh [`Bench`], or none if its engine isn't installed. A clause that isn't named here is dead code
/// to the compiler.
macro_rules! stamp_contract {
    ($bench:path) => {
        $crate::storage::contract::stamp_contract! { $bench;
            records {
                absent_is_a_value, put_replaces_for_every_reader,
                an_open_object_keeps_its_version, readers_never_see_a_mixture, ranges_are_exact,
                large_content_streams_in_parts, records_are_bounded, an_empty_record_is_there,
                create_lets_one_writer_win, create_leaves_the_first, delete_is_seen_by_all,
            }
            aside {
                set_aside_moves_the_version_that_was_seen, set_aside_leaves_every_other_version,
            }
            passing {
                a_post_is_seen_by_all_until_it_is_withdrawn, a_post_is_never_seen_in_part,
                many_posts_and_withdrawals_at_once, a_hold_is_one_holders_until_it_is_dropped,
                tidy_leaves_what_has_content, tidy_tolerates_writers,
            }
            prefixes {
                delete_all_takes_everything_below, delete_all_tolerates_writers,
                children_page_in_byte_order, children_are_names_or_prefixes,
                a_tag_may_look_temporary, a_key_is_no_prefix_and_a_prefix_no_key,
                uploads_are_listed, the_probe_leaves_nothing, space_is_plausible,
            }
            uploads {
                an_upload_grows_and_another_process_goes_on,
                what_was_not_kept_may_be_lost_but_never_other,
                a_broken_stream_keeps_what_came, many_small_parts_are_one_upload,
                a_large_upload_is_kept_byte_for_byte, a_dropped_append_leaves_a_usable_upload,
                notes_replace_each_other, an_upload_without_a_session_is_refused,
                publish_makes_all_visible_and_ends_the_session, publish_replaces_what_is_there,
                an_empty_upload_is_published, discard_forgets, a_deleted_blob_leaves_nothing,
            }
        }
    };
    ($bench:path; $($part:ident { $($clause:ident),* $(,)? })*) => {
        $($(
            #[tokio::test]
            async fn $clause() {
                let bench: Option<$crate::storage::contract::Bench> = $bench().await.into();
                if let Some(bench) = bench {
                    $crate::storage::contract::$part::$clause(&*bench.one, &*bench.other).await;
                }
            }
        )*)*
    };
}
pub(crate) use stamp_contract;

fn repository() -> RepositoryName {
    "team/app".parse().unwrap()
}

fn tag(name: &str) -> Tag {
    name.parse().unwrap()
}

fn current(name: &str) -> Key {
    layout::tag_current(&repository(), &tag(name))
}

fn digest(content: &[u8]) -> Digest {
    Algorithm::Sha256.digest(content)
}

fn stage() -> Stage {
    layout::upload(&repository(), &UploadId::random())
}

/// Bytes in which no two places look alike.
fn pattern(size: usize) -> Vec<u8> {
    (0..size)
        .map(|at| (at.wrapping_mul(2_654_435_761) >> 13).to_le_bytes()[0])
        .collect()
}

/// A stream of `content` in parts of `size` bytes.
fn parts(content: &[u8], size: usize) -> ByteStream {
    let parts: Vec<_> = content
        .chunks(size)
        .map(|part| Ok(Bytes::copy_from_slice(part)))
        .collect();
    Box::pin(stream::iter(parts))
}

async fn collect(stream: ByteStream) -> Vec<u8> {
    let parts: Vec<Bytes> = stream.try_collect().await.unwrap();
    parts.concat()
}

async fn content(store: &dyn Store, key: &Key) -> Vec<u8> {
    let object = store
        .open(key, Reading::Whole)
        .await
        .unwrap()
        .expect("the key is there");
    collect(object.content.read(0..object.meta.size)).await
}

/// A stage that holds `content`.
async fn uploaded(store: &dyn Store, content: &[u8]) -> Stage {
    let stage = stage();
    store.begin(&stage, "2026-11-23T10:00:00Z").await.unwrap();
    let mut upload = store.resume(&stage).await.unwrap().unwrap();
    upload.append(parts(content, 64 * 1024)).await.unwrap();
    assert_eq!(upload.size(), content.len() as u64);
    upload.keep(Bytes::new()).await.unwrap();
    stage
}

async fn names(store: &dyn Store, after: Option<&str>, limit: usize) -> Vec<String> {
    let tags = layout::tags(&repository());
    let children = store.children(&tags, after, limit).await.unwrap();
    children.into_iter().map(|child| child.name).collect()
}
