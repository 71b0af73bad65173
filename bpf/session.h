/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

/*
 * Flows of dsr and ipip: {tuple -> backend}, in a table that forgets. A packet's bucket has eight places;
 * the session in use for least of late leaves when a ninth comes. A hash with a secret key stands for the
 * tuple, so that a session is a quarter of a cache line, IPv6 or not (doc/decisions/0019).
 */

#include "abi/hash.h"
#include "maps.h"
#include "packet.h"

/* How often a session looks for a place when other CPUs take the one that it chose. */
#define SESSION_TRIES 4

/* Claimed: no hash finds it, and it is not empty. */
#define SESSION_CLAIMED 0xffffffff

/* So much a session's last packet may be ahead of a look at the clock: it was here, on another CPU, since. */
#define SESSION_AHEAD 4096U

/* The tuple's hash as sessions know it, whose upper half chooses the bucket as it does in the index. */
static __always_inline __u64 session_hash(const struct packet *packet)
{
	return weir_keyed_hash(index_key, &packet->tuple);
}

/*
 * Tells a session of this tuple and backend from one whose backend's id is another one's now, and from a
 * tuple that has the same place and the same lower half of its hash.
 */
static __always_inline __u16 session_tag(__u64 hash, const struct weir_backend *backend)
{
	const struct weir_address *address = &backend->address;
	__u64 high = (__u64)address->word[0] << 32 | address->word[1];
	__u64 low = (__u64)address->word[2] << 32 | address->word[3];
	__u64 sum = (high + backend->service) * 0x9e3779b97f4a7c15ULL + low + (hash >> 32);

	return sum * 0xff51afd7ed558ccdULL >> 48;
}

static __always_inline struct weir_session_bucket *session_bucket(__u64 hash)
{
	return array_at(&sessions, weir_hash_scale(hash >> 32, session_buckets));
}

/* The place of a session that bears @hash, or WEIR_SESSION_PLACES. Places fill up from the first on. */
static __always_inline __u32 session_place(const struct weir_session_bucket *bucket, __u64 hash)
{
	union weir_session_owner owner;
	__u32 i;

	for (i = 0; i < WEIR_SESSION_PLACES; i++) {
		owner.word = READ_WORD(bucket->sessions[i].owner.word);
		if (!owner.word)
			break;
		/* Its own number, read from it: for the verifier it is any, and it goes on from here once. */
		if (owner.check == (__u32)hash)
			return bucket->sessions[i].place;
	}
	return WEIR_SESSION_PLACES;
}

/* For how long has the session been silent? */
static __always_inline __u32 session_idle(const struct weir_session *session, __u32 now)
{
	__u32 idle = now - session->last_seen;

	return idle < -SESSION_AHEAD ? idle : 0;
}

static __always_inline int session_is_tcp(const struct packet *packet)
{
	return packet->tuple.protocol == IPPROTO_TCP;
}

static __always_inline __u8 session_flags(const struct packet *packet)
{
	if (session_is_tcp(packet) && packet_opens(packet))
		return 0;
	if (packet->tcp_flags & (TCP_FLAG_FIN_BIT | TCP_FLAG_RST_BIT))
		return WEIR_SESSION_ESTABLISHED | WEIR_SESSION_CLOSING;
	return WEIR_SESSION_ESTABLISHED;
}

/*
 * Is @packet one of the session still? A SYN is where it may be the same one again: it begins anew
 * once the client has closed, and when the backend that never answered it is no longer to be used.
 */
static __always_inline int session_goes_on(const struct weir_session *session,
					   const struct weir_service *service, __u32 use,
					   const struct packet *packet, __u32 now)
{
	__u32 idle = session_idle(session, now);

	if (!session_is_tcp(packet))
		return idle <= service->timeouts.udp_established;
	if (!packet_opens(packet))
		return 1;
	if (idle > service->timeouts.tcp || session->flags & WEIR_SESSION_CLOSING)
		return 0;
	return use == WEIR_BACKEND_OPEN || session->flags & WEIR_SESSION_ESTABLISHED;
}

/* The session that @packet, of the hash @hash, belongs to and whose backend may have it; or NULL. */
static __always_inline struct weir_session *session_find(const struct packet *packet, __u64 hash)
{
	struct weir_session_bucket *bucket = session_bucket(hash);
	union weir_session_owner owner;
	struct weir_session *session;
	struct weir_service *service;
	struct weir_backend *backend;
	__u64 place;

	if (!bucket)
		return NULL;
	place = PINNED(session_place(bucket, hash));
	if (place >= WEIR_SESSION_PLACES)
		return NULL;
	session = &bucket->sessions[place];
	owner.word = READ_WORD(session->owner.word);
	backend = array_at(&backends, owner.backend);
	if (!backend || owner.check != (__u32)hash || backend->use == WEIR_BACKEND_CUT ||
	    session->tag != session_tag(hash, backend))
		return NULL;
	service = array_at(&services, backend->service);
	if (!backend->service || !service ||
	    !session_goes_on(session, service, backend->use, packet, bpf_jiffies64()))
		return NULL;
	return session;
}

/* The number of a session, from 1 on. */
static __always_inline __u64 session_number(const struct weir_session *session, __u64 hash)
{
	return (__u64)weir_hash_scale(hash >> 32, session_buckets) * WEIR_SESSION_PLACES +
	       (session->place & (WEIR_SESSION_PLACES - 1)) + 1;
}

static __always_inline struct weir_session *session_at(__u64 number)
{
	struct weir_session_bucket *bucket = array_at(&sessions,
						      (number - 1) / WEIR_SESSION_PLACES);

	return number && bucket ? &bucket->sessions[(number - 1) % WEIR_SESSION_PLACES] : NULL;
}

/*
 * The number of the session that @packet belongs to, if its backend is one of @service_id; or 0. Not static,
 * so that the verifier looks at it once.
 */
__noinline __u64 session_of(const struct packet *packet, __u32 service_id)
{
	struct weir_session *session;
	struct weir_backend *backend;
	union weir_session_owner owner;
	__u64 hash;

	if (!packet)
		return 0;
	hash = session_hash(packet);
	session = session_find(packet, hash);
	if (!session)
		return 0;
	owner.word = READ_WORD(session->owner.word);
	backend = array_at(&backends, owner.backend);
	return backend && backend->service == service_id ? session_number(session, hash) : 0;
}

/* Have listeners not changed since its last packet? Then it still belongs to the service that it came to. */
static __always_inline int session_is_current(const struct weir_session *session)
{
	struct weir_root *root_ = WEIR_ONLY(root);
	__u64 now = bpf_jiffies64();
	__u32 age = (__u32)now - session->last_seen;

	return root_ && now - age > *(volatile __u64 *)&root_->listeners_since;
}

/* @packet was one of the session. */
static __always_inline void session_touch(struct weir_session *session, const struct packet *packet)
{
	__u8 flags = session_flags(packet);
	__u32 now = bpf_jiffies64();

	if (session->last_seen != now)
		session->last_seen = now;
	if (flags & ~session->flags)
		session->flags |= flags;
}

/*
 * Is nothing more to come of a session with these @flags? Whether it is of TCP or UDP is not known, so the
 * longer timeout counts; after the client's FIN (it may read on) or RST, the one of closing.
 */
static __always_inline int session_is_over(__u32 backend_id, __u8 flags, __u32 idle)
{
	struct weir_backend *backend = array_at(&backends, backend_id);
	struct weir_service *service = backend ? array_at(&services, backend->service) : NULL;

	if (!service)
		return 1;
	if (flags & WEIR_SESSION_CLOSING)
		return idle > service->timeouts.tcp_close;
	return idle > service->timeouts.tcp && idle > service->timeouts.udp_established;
}

/*
 * Which of two to give up? One that is over; then one that never got beyond its first packet before one that
 * did, so that a flood of these pushes out its own; then the one that was silent for longer. Not static, so
 * that the verifier looks at it once, and not at each place of a bucket.
 */
__noinline __u64 session_uselessness(__u32 backend_id, __u8 flags, __u32 idle)
{
	if (session_is_over(backend_id, flags, idle))
		return idle | 2ULL << 32;
	return flags & WEIR_SESSION_ESTABLISHED ? idle : idle | 1ULL << 32;
}

/*
 * Where in its bucket a new session of @hash goes: its old place, else an empty one, else the least useful
 * one's. Not static, as session_of().
 */
__noinline __u32 session_choose(__u64 hash, __u32 now)
{
	struct weir_session_bucket *bucket = session_bucket(hash);
	__u64 most = 0, uselessness;
	union weir_session_owner owner;
	__u32 i, chosen = 0;

	if (!bucket)
		return 0;
	for (i = 0; i < WEIR_SESSION_PLACES; i++) {
		owner.word = READ_WORD(bucket->sessions[i].owner.word);
		if (!owner.word || owner.check == (__u32)hash)
			return i;
		uselessness = session_uselessness(owner.backend, bucket->sessions[i].flags,
						  session_idle(&bucket->sessions[i], now));
		if (uselessness >= most && owner.backend != SESSION_CLAIMED) {
			most = uselessness;
			chosen = i;
		}
	}
	return chosen;
}

/* Remembers the backend of @packet's flow. Should that fail, its next packet is decided on anew. */
__noinline int session_store(const struct packet *packet, __u32 backend_id)
{
	union weir_session_owner owner = { .backend = backend_id }, old;
	struct weir_backend *backend = array_at(&backends, backend_id);
	struct weir_session_bucket *bucket;
	struct weir_session *session;
	__u32 now = bpf_jiffies64();
	__u64 hash, place;
	int i;

	if (!packet || !backend)
		return 0;
	hash = session_hash(packet);
	owner.check = hash;
	bucket = session_bucket(hash);
	if (!bucket)
		return 0;
	for (i = 0; i < SESSION_TRIES; i++) {
		place = session_choose(hash, now) & (WEIR_SESSION_PLACES - 1);
		session = &bucket->sessions[place];
		old.word = READ_WORD(session->owner.word);
		if (__sync_val_compare_and_swap(&session->owner.word, old.word,
						(__u64)SESSION_CLAIMED) != old.word)
			continue;
		session->last_seen = now;
		session->tag = session_tag(hash, backend);
		session->flags = packet_opens(packet) ? 0 : session_flags(packet);
		session->place = place;
		__sync_lock_test_and_set(&session->owner.word, owner.word);
		return 1;
	}
	return 0;
}
