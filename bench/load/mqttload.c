/*
 * mqttload - a single-threaded epoll MQTT 3.1.1 / 5.0 load generator.
 *
 * Original code.  C11, Linux, OpenSSL.  See README.md for the scenarios and
 * the meaning of every output field; `mqttload --help` for the options.
 *
 * Every PUBLISH carries a 20 byte header in its payload
 *     u32 run tag | u32 publisher index | u32 sequence | u64 send time (ns)
 * so that the receiver can prove what was received: unique, lost, duplicate,
 * out of order, corrupt, left over from another run; and how late.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#ifndef IP_BIND_ADDRESS_NO_PORT
#define IP_BIND_ADDRESS_NO_PORT 24
#endif

#define MQTTLOAD_VERSION "1.0"
#define HDR_LEN 20u
#define OUT_HI (256u * 1024u) /* stop generating above this many unsent bytes */
#define MAX_CONNS 400000u
#define MAX_PIDS 16

/* ------------------------------------------------------------------ util */

#if defined(__GNUC__)
#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)
#define PRINTF(a, b) __attribute__((format(printf, a, b)))
#define NORETURN __attribute__((noreturn))
#else
#define LIKELY(x) (x)
#define UNLIKELY(x) (x)
#define PRINTF(a, b)
#define NORETURN
#endif

static int g_quiet;

static void say(const char *fmt, ...) PRINTF(1, 2);
static void say(const char *fmt, ...)
{
	if (g_quiet)
		return;
	va_list ap;
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}

static void die(int code, const char *fmt, ...) PRINTF(2, 3) NORETURN;
static void die(int code, const char *fmt, ...)
{
	va_list ap;
	fputs("mqttload: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(code);
}

static void *xmalloc(size_t n)
{
	void *p = malloc(n ? n : 1);
	if (!p)
		die(2, "out of memory (%zu bytes)", n);
	return p;
}

static void *xcalloc(size_t n, size_t m)
{
	void *p = calloc(n ? n : 1, m ? m : 1);
	if (!p)
		die(2, "out of memory (%zu x %zu bytes)", n, m);
	return p;
}

static void *xrealloc(void *q, size_t n)
{
	void *p = realloc(q, n ? n : 1);
	if (!p)
		die(2, "out of memory (%zu bytes)", n);
	return p;
}

static inline uint64_t now_ns(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ull + (uint64_t)ts.tv_nsec;
}

static inline uint16_t rd16(const uint8_t *p) { return (uint16_t)(p[0] << 8 | p[1]); }
static inline void wr16(uint8_t *p, unsigned v) { p[0] = (uint8_t)(v >> 8); p[1] = (uint8_t)v; }

/* ------------------------------------------------------------- histogram */

#define H_SUB 7 /* 128 buckets per octave: < 0.8 % error */
#define H_N ((64 - H_SUB + 1) << H_SUB)
typedef struct { uint64_t c[H_N]; uint64_t n, max, min; double sum; } hist_t;

static inline void hist_add(hist_t *h, uint64_t v)
{
	unsigned i;
	if (v < (1u << H_SUB))
		i = (unsigned)v;
	else {
		unsigned e = 63u - (unsigned)__builtin_clzll(v) - H_SUB;
		i = ((e + 1) << H_SUB) + (unsigned)((v >> e) & ((1u << H_SUB) - 1));
	}
	h->c[i]++;
	if (!h->n || v < h->min)
		h->min = v;
	if (v > h->max)
		h->max = v;
	h->n++;
	h->sum += (double)v;
}

static uint64_t hist_q(const hist_t *h, double q)
{
	if (!h->n)
		return 0;
	uint64_t want = (uint64_t)(q * (double)h->n), acc = 0;
	if (want >= h->n)
		want = h->n - 1;
	for (unsigned i = 0; i < H_N; i++) {
		acc += h->c[i];
		if (acc > want) {
			if (i < (1u << H_SUB))
				return i;
			unsigned e = (i >> H_SUB) - 1;
			uint64_t lo = ((uint64_t)(1u << H_SUB) + (i & ((1u << H_SUB) - 1))) << e;
			uint64_t v = lo + ((1ull << e) >> 1);
			return v > h->max ? h->max : v;
		}
	}
	return h->max;
}

/* --------------------------------------------------------------- buffers */

typedef struct { uint8_t *p; size_t off, len, cap; } buf_t;

static uint8_t *buf_tail(buf_t *b, size_t n)
{
	if (b->off == b->len)
		b->off = b->len = 0;
	if (b->cap - b->len < n) {
		if (b->off) {
			memmove(b->p, b->p + b->off, b->len - b->off);
			b->len -= b->off;
			b->off = 0;
		}
		if (b->cap - b->len < n) {
			size_t cap = b->cap ? b->cap : 512;
			while (cap - b->len < n)
				cap *= 2;
			b->p = xrealloc(b->p, cap);
			b->cap = cap;
		}
	}
	return b->p + b->len;
}

static inline size_t buf_left(const buf_t *b) { return b->len - b->off; }
static void buf_free(buf_t *b) { free(b->p); memset(b, 0, sizeof *b); }

/* --------------------------------------------------------------- options */

enum scen { SC_NONE, SC_PAIRS, SC_FANIN, SC_FANOUT, SC_FLOW, SC_SHARED, SC_WILD,
	    SC_CONN, SC_IDLE, SC_RETAIN, SC_SUBS, SC_OFFLINE };

static struct opts {
	enum scen sc;
	const char *scname, *host, *topic, *filter, *user, *pass, *prefix, *label;
	const char *cafile, *cert, *key, *sni, *state, *stage;
	int port, ver, qos, subqos, retain, persistent, tls, insecure, resume, tlsver;
	int verify, strict, json_only, allow_remote, spin, alias, fetch, clear, rst;
	unsigned size, npub, nsub, groups, topics, window, credit, batch, inflight, srcs;
	unsigned keepalive, expiry, recvmax, subbatch, maxnap, userprops;
	int n_set, m_set;
	uint64_t count;
	double rate, warmup, duration, drain, maxdrain, ctimeout;
	uint32_t tag;
	int tag_set;
	pid_t pids[MAX_PIDS];
	int npids;
} O;

/* --------------------------------------------------------------- objects */

enum { ST_FREE, ST_TCP, ST_TLS, ST_CONNECT, ST_SUB, ST_UP, ST_DEAD };
enum { R_PUB, R_SUB, R_RAW };

struct pub;
typedef struct conn {
	int fd;
	uint8_t st, role, want_out, on_flush, ping_out, sp, clean, closing;
	uint32_t idx;
	uint32_t subs_done, subs_sent; /* SUBSCRIBE batching */
	SSL *ssl;
	buf_t in, out;
	uint64_t t0, last_tx;
	uint16_t alias_max, rx_max;
	struct pub *pub;
} conn_t;

typedef struct { uint32_t seq; uint8_t st; /* 0 free 1 wait PUBACK/PUBREC 2 wait PUBCOMP */ } slot_t;

typedef struct pub {
	conn_t *c;
	uint32_t idx, fan;
	uint64_t sent, acked, delivered, limit, due;
	uint32_t tbase, tmod;
	uint8_t on_ready, alias_set;
	/* in-flight window, packet id = slot + 1 */
	slot_t *slot;
	uint16_t *freel;
	uint32_t nfree, nslot;
	/* packet template for a fixed topic */
	uint8_t *tpl;
	uint32_t tpl_len, tpl_pid, tpl_pay;
} pub_t;

typedef struct { uint32_t lo, hi; } range_t;
typedef struct {
	uint32_t next, nr, cap;
	range_t *r;
	uint64_t uniq;
} stream_t;

static struct {
	int ep;
	conn_t *conns;
	uint32_t nconns;
	pub_t *pubs;
	uint32_t P, S;
	stream_t *streams;
	uint32_t nstreams;
	int32_t *smap; /* [S*P] -> stream, or NULL for identity */
	uint32_t *lastseq; /* [S*P] (shared groups only) highest seq + 1 per sub and pub */
	int shared;
	uint32_t tag;

	pub_t **ready;
	uint32_t nready;
	conn_t **flush;
	uint32_t nflush, flush_cap;

	/* connection opening */
	uint32_t open_next, open_end, opening, up, failed;
	uint64_t conn_seq;
	uint32_t next_src;

	/* phase */
	int sending, measuring, stop, setup;
	uint64_t t_run0, t_m0, t_m1;
	double interval;
	uint64_t sched_k;

	/* counters */
	uint64_t sent, acked, rx, uniq, dup, ooo, corrupt, stale, unexpected, late;
	uint64_t bytes_rx, bytes_tx, nack, proto_err, disconnects, stalls, unacked;
	uint64_t connects, conn_fail, resumed, pong, sess_present, retained_rx;
	uint64_t last_progress;
	char last_err[160], tls_ver[24], tls_cipher[64];
	hist_t lat, clat;

	SSL_CTX *ctx;
	SSL_SESSION *sess;
	struct sockaddr_storage addr;
	socklen_t addrlen;
	int is_v4_loop;
} G;

static uint8_t *rbuf;
static size_t rbuf_cap;
static volatile sig_atomic_t g_sig;

static void on_up(conn_t *c);
static void on_down(conn_t *c, const char *why);
static void pub_fill(pub_t *p, uint64_t now);
static void send_subscribe(conn_t *c);

/* ------------------------------------------------------------- templates */

static void expand(char *out, size_t cap, const char *tpl, uint32_t i, uint32_t t, uint32_t g)
{
	size_t n = 0;
	for (const char *s = tpl; *s; s++) {
		char tmp[16];
		const char *add = tmp;
		if (*s == '%' && s[1]) {
			s++;
			if (*s == 'i') snprintf(tmp, sizeof tmp, "%u", i);
			else if (*s == 't') snprintf(tmp, sizeof tmp, "%u", t);
			else if (*s == 'g') snprintf(tmp, sizeof tmp, "%u", g);
			else if (*s == '%') { tmp[0] = '%'; tmp[1] = 0; }
			else die(1, "bad template '%s': only %%i %%t %%g %%%% are known", tpl);
		} else {
			tmp[0] = *s; tmp[1] = 0;
		}
		size_t l = strlen(add);
		if (n + l + 1 > cap)
			die(1, "template '%s' expands to more than %zu bytes", tpl, cap - 1);
		memcpy(out + n, add, l);
		n += l;
	}
	out[n] = 0;
}

/* topic filter match, $share prefix already removed */
static bool match(const char *f, const char *t)
{
	if (*t == '$' && (*f == '#' || *f == '+'))
		return false;
	for (;;) {
		if (*f == '#')
			return true;
		if (*f == '+') {
			f++;
			while (*t && *t != '/')
				t++;
		} else {
			while (*f && *f == *t && *f != '/') { f++; t++; }
			if (*f == '+' || *f == '#')
				return false;
		}
		if (!*f && !*t)
			return true;
		if (!*t && f[0] == '/' && f[1] == '#' && !f[2])
			return true;
		if (*f == '/' && *t == '/') { f++; t++; continue; }
		return false;
	}
}

/* ---------------------------------------------------------- proc sampling */

typedef struct {
	double user, sys;
	uint64_t rss_kb, hwm_kb;
	int nproc;
	double self_cpu;
	uint64_t t;
} sample_t;

static uint64_t pss_kb_of(pid_t pid)
{
	char path[64], line[256];
	uint64_t v = 0;
	snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)pid);
	FILE *f = fopen(path, "r");
	if (!f)
		return 0;
	while (fgets(line, sizeof line, f))
		if (sscanf(line, "Pss: %" SCNu64, &v) == 1)
			break;
	fclose(f);
	return v;
}

static void take_sample(sample_t *s, uint64_t *pss)
{
	static pid_t *pid, *ppid;
	static size_t cap;
	memset(s, 0, sizeof *s);
	struct rusage ru;
	getrusage(RUSAGE_SELF, &ru);
	s->self_cpu = (double)ru.ru_utime.tv_sec + (double)ru.ru_utime.tv_usec / 1e6 +
		      (double)ru.ru_stime.tv_sec + (double)ru.ru_stime.tv_usec / 1e6;
	s->t = now_ns();
	if (pss)
		*pss = 0;
	if (!O.npids)
		return;
	size_t n = 0;
	DIR *d = opendir("/proc");
	if (!d)
		return;
	struct dirent *de;
	double tck = (double)sysconf(_SC_CLK_TCK);
	typedef struct { double u, s; } cpu_t;
	static cpu_t *cpu;
	while ((de = readdir(d))) {
		if (!isdigit((unsigned char)de->d_name[0]))
			continue;
		char path[300], line[1024];
		snprintf(path, sizeof path, "/proc/%s/stat", de->d_name);
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			continue;
		ssize_t r = read(fd, line, sizeof line - 1);
		close(fd);
		if (r <= 0)
			continue;
		line[r] = 0;
		char *q = strrchr(line, ')');
		int pp;
		unsigned long ut, st;
		long cut, cst;
		if (!q || sscanf(q + 1, " %*c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu %ld %ld",
				 &pp, &ut, &st, &cut, &cst) != 5)
			continue;
		if (n == cap) {
			cap = cap ? cap * 2 : 256;
			pid = xrealloc(pid, cap * sizeof *pid);
			ppid = xrealloc(ppid, cap * sizeof *ppid);
			cpu = xrealloc(cpu, cap * sizeof *cpu);
		}
		pid[n] = (pid_t)atoi(de->d_name);
		ppid[n] = pp;
		cpu[n].u = (double)ut / tck + (double)cut / tck;
		cpu[n].s = (double)st / tck + (double)cst / tck;
		n++;
	}
	closedir(d);
	uint8_t *in = xcalloc(n, 1);
	for (size_t i = 0; i < n; i++)
		for (int k = 0; k < O.npids; k++)
			if (pid[i] == O.pids[k])
				in[i] = 1;
	for (bool more = true; more;) {
		more = false;
		for (size_t i = 0; i < n; i++) {
			if (in[i])
				continue;
			for (size_t j = 0; j < n; j++)
				if (in[j] && ppid[i] == pid[j]) {
					in[i] = 1;
					more = true;
					break;
				}
		}
	}
	for (size_t i = 0; i < n; i++) {
		if (!in[i])
			continue;
		s->user += cpu[i].u;
		s->sys += cpu[i].s;
		s->nproc++;
		char path[64], line[256];
		snprintf(path, sizeof path, "/proc/%d/status", (int)pid[i]);
		FILE *f = fopen(path, "r");
		if (f) {
			uint64_t v;
			while (fgets(line, sizeof line, f)) {
				if (sscanf(line, "VmRSS: %" SCNu64, &v) == 1)
					s->rss_kb += v;
				else if (sscanf(line, "VmHWM: %" SCNu64, &v) == 1)
					s->hwm_kb += v;
			}
			fclose(f);
		}
		if (pss)
			*pss += pss_kb_of(pid[i]);
	}
	free(in);
}

/* ---------------------------------------------------------- connection io */

static void ep_set(conn_t *c, int out)
{
	if (c->want_out == out)
		return;
	struct epoll_event ev = { .events = EPOLLIN | (out ? EPOLLOUT : 0u), .data.ptr = c };
	epoll_ctl(G.ep, EPOLL_CTL_MOD, c->fd, &ev);
	c->want_out = (uint8_t)out;
}

static void conn_close(conn_t *c)
{
	if (c->ssl) {
		if (c->st >= ST_CONNECT && !g_sig)
			SSL_shutdown(c->ssl);
		SSL_free(c->ssl);
		c->ssl = NULL;
		ERR_clear_error();
	}
	if (c->fd >= 0) {
		if (O.rst) {
			struct linger lg = { 1, 0 };
			setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &lg, sizeof lg);
		}
		close(c->fd);
	}
	c->fd = -1;
	buf_free(&c->in);
	buf_free(&c->out);
	c->want_out = 0;
}

static void conn_fail(conn_t *c, const char *why)
{
	uint8_t st = c->st;
	if (st == ST_DEAD || st == ST_FREE)
		return;
	conn_close(c);
	c->st = ST_DEAD;
	if (st != ST_UP) {
		G.conn_fail++;
		if (G.opening)
			G.opening--;
	} else if (!c->closing) {
		G.disconnects++;
	}
	if (why && !c->closing)
		snprintf(G.last_err, sizeof G.last_err, "%s", why);
	on_down(c, why);
}

static const char *ssl_why(const char *what)
{
	static char b[150];
	unsigned long e = ERR_peek_last_error();
	char eb[110];
	if (e) {
		ERR_error_string_n(e, eb, sizeof eb);
		snprintf(b, sizeof b, "%s: %s", what, eb);
	} else
		snprintf(b, sizeof b, "%s: connection closed by peer", what);
	ERR_clear_error();
	return b;
}

static const char *err_why(const char *what)
{
	static char b[150];
	snprintf(b, sizeof b, "%s: %s", what, strerror(errno));
	return b;
}

static void conn_flush(conn_t *c)
{
	if (c->st < ST_CONNECT || c->st == ST_DEAD)
		return;
	while (c->out.off < c->out.len) {
		size_t left = c->out.len - c->out.off;
		ssize_t n;
		if (c->ssl) {
			int w = SSL_write(c->ssl, c->out.p + c->out.off, left > (1u << 30) ? 1 << 30 : (int)left);
			if (w <= 0) {
				int e = SSL_get_error(c->ssl, w);
				if (e == SSL_ERROR_WANT_WRITE || e == SSL_ERROR_WANT_READ) {
					ep_set(c, 1);
					return;
				}
				conn_fail(c, ssl_why("TLS write"));
				return;
			}
			n = w;
		} else {
			n = send(c->fd, c->out.p + c->out.off, left, MSG_NOSIGNAL);
			if (n < 0) {
				if (errno == EAGAIN) {
					ep_set(c, 1);
					return;
				}
				if (errno == EINTR)
					continue;
				conn_fail(c, err_why("write"));
				return;
			}
		}
		c->out.off += (size_t)n;
		G.bytes_tx += (uint64_t)n;
	}
	c->out.off = c->out.len = 0;
	if (c->want_out)
		ep_set(c, 0);
}

static inline void want_flush(conn_t *c)
{
	if (c->on_flush)
		return;
	if (G.nflush == G.flush_cap) {
		G.flush_cap = G.flush_cap ? G.flush_cap * 2 : 1024;
		G.flush = xrealloc(G.flush, G.flush_cap * sizeof *G.flush);
	}
	c->on_flush = 1;
	G.flush[G.nflush++] = c;
}

static inline void mark_ready(pub_t *p)
{
	if (!p->on_ready) {
		p->on_ready = 1;
		G.ready[G.nready++] = p;
	}
}

static unsigned put_varint(uint8_t *p, uint32_t v)
{
	unsigned n = 0;
	do {
		uint8_t b = v & 127;
		v >>= 7;
		if (v)
			b |= 128;
		p[n++] = b;
	} while (v);
	return n;
}

static void put_str(buf_t *b, const char *s)
{
	size_t l = strlen(s);
	uint8_t *q = buf_tail(b, l + 2);
	wr16(q, (unsigned)l);
	memcpy(q + 2, s, l);
	b->len += l + 2;
}

static void put_bytes(buf_t *b, const void *s, size_t l)
{
	memcpy(buf_tail(b, l), s, l);
	b->len += l;
}

static void put_u8(buf_t *b, unsigned v)
{
	uint8_t x = (uint8_t)v;
	put_bytes(b, &x, 1);
}

static void put_u16(buf_t *b, unsigned v)
{
	uint8_t x[2];
	wr16(x, v);
	put_bytes(b, x, 2);
}

static void emit_packet(conn_t *c, unsigned h, const buf_t *body)
{
	uint8_t hd[5];
	hd[0] = (uint8_t)h;
	unsigned n = 1 + put_varint(hd + 1, (uint32_t)body->len);
	put_bytes(&c->out, hd, n);
	if (body->len)
		put_bytes(&c->out, body->p, body->len);
	want_flush(c);
}

static void send_connect(conn_t *c)
{
	static buf_t b;
	char cid[256], tmp[512];
	b.off = b.len = 0;
	put_str(&b, "MQTT");
	put_u8(&b, (unsigned)O.ver);
	unsigned fl = 0;
	if (c->clean)
		fl |= 2;
	if (O.user)
		fl |= 0x80;
	if (O.pass)
		fl |= 0x40;
	put_u8(&b, fl);
	put_u16(&b, O.keepalive);
	if (O.ver == 5) {
		uint8_t pr[16];
		unsigned n = 0;
		if (!c->clean) {
			pr[n++] = 0x11;
			for (int i = 3; i >= 0; i--)
				pr[n++] = (uint8_t)(O.expiry >> (8 * i));
		}
		if (O.recvmax) {
			pr[n++] = 0x21;
			wr16(pr + n, O.recvmax);
			n += 2;
		}
		put_u8(&b, n);
		put_bytes(&b, pr, n);
	}
	const char *role = c->role == R_PUB ? "p" : c->role == R_SUB ? "s" : "c";
	if (O.sc == SC_CONN)
		snprintf(cid, sizeof cid, "%s-%s%" PRIu64, O.prefix, role, G.conn_seq++);
	else
		snprintf(cid, sizeof cid, "%s-%s%u", O.prefix, role, c->idx);
	put_str(&b, cid);
	if (O.user) {
		expand(tmp, sizeof tmp, O.user, c->idx, 0, 0);
		put_str(&b, tmp);
	}
	if (O.pass) {
		expand(tmp, sizeof tmp, O.pass, c->idx, 0, 0);
		put_str(&b, tmp);
	}
	emit_packet(c, 0x10, &b);
}

static void send_simple(conn_t *c, unsigned h)
{
	uint8_t b[2] = { (uint8_t)h, 0 };
	put_bytes(&c->out, b, 2);
	want_flush(c);
}

static int set_nonblock_opts(int fd)
{
	int one = 1;
	return setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

static bool conn_open(conn_t *c)
{
	c->st = ST_FREE;
	c->in.len = c->out.len = c->in.off = c->out.off = 0;
	c->subs_done = c->subs_sent = 0;
	c->sp = c->ping_out = c->closing = 0;
	c->t0 = now_ns();
	c->fd = socket(G.addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		die(2, "socket: %s (raise the open file limit?)", strerror(errno));
	set_nonblock_opts(c->fd);
	if (O.srcs > 1 && G.is_v4_loop) {
		int one = 1;
		setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
		struct sockaddr_in sa = { .sin_family = AF_INET };
		sa.sin_addr.s_addr = htonl(0x7f000001u + (G.next_src++ % O.srcs));
		if (bind(c->fd, (struct sockaddr *)&sa, sizeof sa) < 0)
			die(2, "bind to a 127.0.0.x source address: %s", strerror(errno));
	}
	int r = connect(c->fd, (struct sockaddr *)&G.addr, G.addrlen);
	if (r < 0 && errno != EINPROGRESS) {
		snprintf(G.last_err, sizeof G.last_err, "connect: %s", strerror(errno));
		close(c->fd);
		c->fd = -1;
		c->st = ST_DEAD;
		G.conn_fail++;
		return false;
	}
	c->st = ST_TCP;
	struct epoll_event ev = { .events = EPOLLIN | EPOLLOUT, .data.ptr = c };
	if (epoll_ctl(G.ep, EPOLL_CTL_ADD, c->fd, &ev) < 0)
		die(2, "epoll_ctl: %s", strerror(errno));
	c->want_out = 1;
	return true;
}

static void tls_start(conn_t *c)
{
	c->ssl = SSL_new(G.ctx);
	if (!c->ssl)
		die(2, "SSL_new failed");
	SSL_set_fd(c->ssl, c->fd);
	SSL_set_connect_state(c->ssl);
	const char *name = O.sni ? O.sni : "localhost";
	SSL_set_tlsext_host_name(c->ssl, name);
	if (!O.insecure)
		SSL_set1_host(c->ssl, name);
	if (O.resume && G.sess)
		SSL_set_session(c->ssl, G.sess);
	c->st = ST_TLS;
}

static void tls_step(conn_t *c)
{
	int r = SSL_do_handshake(c->ssl);
	if (r == 1) {
		if (SSL_session_reused(c->ssl))
			G.resumed++;
		if (!G.tls_ver[0]) {
			snprintf(G.tls_ver, sizeof G.tls_ver, "%s", SSL_get_version(c->ssl));
			snprintf(G.tls_cipher, sizeof G.tls_cipher, "%s", SSL_get_cipher(c->ssl));
		}
		c->st = ST_CONNECT;
		ep_set(c, 0);
		send_connect(c);
		return;
	}
	int e = SSL_get_error(c->ssl, r);
	if (e == SSL_ERROR_WANT_READ) { ep_set(c, 0); return; }
	if (e == SSL_ERROR_WANT_WRITE) { ep_set(c, 1); return; }
	long v = SSL_get_verify_result(c->ssl);
	if (v != X509_V_OK) {
		char b[150];
		snprintf(b, sizeof b, "TLS certificate verification: %s", X509_verify_cert_error_string(v));
		ERR_clear_error();
		conn_fail(c, b);
		return;
	}
	conn_fail(c, ssl_why("TLS handshake"));
}

/* ------------------------------------------------------------- accounting */

enum { RX_NEW, RX_LATE, RX_DUP };

static int stream_rx(stream_t *s, uint32_t seq, uint32_t *gap)
{
	*gap = 0;
	if (LIKELY(seq == s->next)) {
		s->next++;
		return RX_NEW;
	}
	if (seq > s->next) {
		if (s->nr == s->cap) {
			s->cap = s->cap ? s->cap * 2 : 16;
			s->r = xrealloc(s->r, s->cap * sizeof *s->r);
		}
		s->r[s->nr].lo = s->next;
		s->r[s->nr++].hi = seq;
		*gap = seq - s->next;
		s->next = seq + 1;
		return RX_NEW;
	}
	for (uint32_t i = s->nr; i-- > 0;) {
		range_t *r = &s->r[i];
		if (seq >= r->hi)
			return RX_DUP; /* ranges are sorted */
		if (seq < r->lo)
			continue;
		if (seq == r->lo)
			r->lo++;
		else if (seq == r->hi - 1)
			r->hi--;
		else {
			if (s->nr == s->cap) {
				s->cap *= 2;
				s->r = xrealloc(s->r, s->cap * sizeof *s->r);
				r = &s->r[i];
			}
			memmove(r + 1, r, (s->nr - i) * sizeof *r);
			s->nr++;
			r[0].hi = seq;
			r[1].lo = seq + 1;
			return RX_LATE;
		}
		if (r->lo == r->hi) {
			memmove(r, r + 1, (s->nr - i - 1) * sizeof *r);
			s->nr--;
		}
		return RX_LATE;
	}
	return RX_DUP;
}

static inline uint8_t fill_byte(uint32_t pub, uint32_t i) { return (uint8_t)(pub * 31u + i * 7u + 3u); }

static void account(conn_t *c, unsigned h, const uint8_t *pl, uint32_t len,
		    const uint8_t *topic, uint32_t tl, uint64_t now)
{
	uint32_t tag, pi, seq;
	uint64_t ts;
	G.rx++;
	G.last_progress = now;
	if (h & 1)
		G.retained_rx++;
	if (UNLIKELY(len < HDR_LEN)) {
		G.corrupt++;
		return;
	}
	memcpy(&tag, pl, 4);
	memcpy(&pi, pl + 4, 4);
	memcpy(&seq, pl + 8, 4);
	memcpy(&ts, pl + 12, 8);
	if (UNLIKELY(tag != G.tag)) {
		G.stale++;
		return;
	}
	if (UNLIKELY(pi >= G.P || len != O.size)) {
		G.corrupt++;
		return;
	}
	if (O.verify) {
		for (uint32_t i = HDR_LEN; i < len; i++)
			if (pl[i] != fill_byte(pi, i)) {
				G.corrupt++;
				return;
			}
		char want[1024];
		pub_t *p = &G.pubs[pi];
		expand(want, sizeof want, O.topic, pi, p->tbase + seq % p->tmod, 0);
		if (strlen(want) != tl || memcmp(want, topic, tl)) {
			G.corrupt++;
			return;
		}
	}
	int32_t si;
	if (!G.smap)
		si = (pi == c->idx) ? (int32_t)pi : -1;
	else
		si = G.smap[(size_t)c->idx * G.P + pi];
	if (UNLIKELY(si < 0)) {
		G.unexpected++;
		return;
	}
	stream_t *s = &G.streams[si];
	pub_t *p = &G.pubs[pi];
	uint32_t gap;
	int k = stream_rx(s, seq, &gap);
	if (UNLIKELY(G.lastseq != NULL)) {
		uint32_t *ls = &G.lastseq[(size_t)c->idx * G.P + pi];
		if (k != RX_DUP) {
			if (seq < *ls)
				G.ooo++;
			else
				*ls = seq + 1;
		}
		gap = 0; /* in a shared group a gap is no sign of loss */
	}
	if (UNLIKELY(k == RX_DUP)) {
		G.dup++;
		return;
	}
	if (k == RX_LATE) {
		if (!G.lastseq)
			G.ooo++;
		G.late++;
		if (G.lastseq)
			p->delivered++;
	} else {
		p->delivered += 1u + gap;
	}
	s->uniq++;
	G.uniq++;
	/* by (intended) send time, not by arrival: a message of the window that comes late counts, too */
	if (ts >= G.t_m0 && ts < G.t_m1 && now >= ts)
		hist_add(&G.lat, now - ts);
	mark_ready(p);
}

/* ------------------------------------------------------------------ parse */

static void ack_tail(conn_t *c, unsigned h, unsigned pid)
{
	uint8_t *q = buf_tail(&c->out, 4);
	q[0] = (uint8_t)h;
	q[1] = 2;
	wr16(q + 2, pid);
	c->out.len += 4;
	want_flush(c);
}

static bool proto(conn_t *c, const char *what)
{
	G.proto_err++;
	char b[150];
	snprintf(b, sizeof b, "protocol error from broker: %s", what);
	conn_fail(c, b);
	return false;
}

static bool varint(const uint8_t **p, const uint8_t *e, uint32_t *v)
{
	uint32_t r = 0;
	for (int i = 0; i < 4; i++) {
		if (*p >= e)
			return false;
		uint8_t b = *(*p)++;
		r |= (uint32_t)(b & 127) << (7 * i);
		if (!(b & 128)) {
			*v = r;
			return true;
		}
	}
	return false;
}

static void slot_free(pub_t *p, unsigned s)
{
	p->slot[s].st = 0;
	p->freel[p->nfree++] = (uint16_t)s;
	p->acked++;
	G.acked++;
	mark_ready(p);
}

static bool handle(conn_t *c, unsigned h, const uint8_t *p, uint32_t rl, uint64_t now)
{
	const uint8_t *e = p + rl;
	switch (h >> 4) {
	case 3: { /* PUBLISH */
		unsigned qos = (h >> 1) & 3, pid = 0;
		if (UNLIKELY(c->role != R_SUB || c->st < ST_CONNECT))
			return proto(c, "unexpected PUBLISH");
		if (UNLIKELY(qos == 3 || rl < 2))
			return proto(c, "malformed PUBLISH");
		uint32_t tl = rd16(p);
		p += 2;
		const uint8_t *topic = p;
		if (UNLIKELY((size_t)(e - p) < tl + (qos ? 2u : 0u)))
			return proto(c, "PUBLISH topic overruns the packet");
		p += tl;
		if (qos) {
			pid = rd16(p);
			p += 2;
			if (UNLIKELY(!pid))
				return proto(c, "PUBLISH with packet id 0");
		}
		if (O.ver == 5) {
			uint32_t pl;
			if (UNLIKELY(!varint(&p, e, &pl) || (size_t)(e - p) < pl))
				return proto(c, "PUBLISH properties overrun the packet");
			p += pl;
		}
		account(c, h, p, (uint32_t)(e - p), topic, tl, now);
		if (qos == 1)
			ack_tail(c, 0x40, pid);
		else if (qos == 2)
			ack_tail(c, 0x50, pid);
		return true;
	}
	case 4: case 5: case 7: { /* PUBACK PUBREC PUBCOMP */
		pub_t *b = c->pub;
		if (UNLIKELY(rl < 2 || !b || !b->slot))
			return proto(c, "unexpected acknowledgement");
		unsigned t = h >> 4, pid = rd16(p), s = pid - 1u;
		unsigned rc = rl > 2 ? p[2] : 0;
		if (UNLIKELY(s >= b->nslot || !b->slot[s].st))
			return proto(c, "acknowledgement for a packet id that is not in flight");
		G.last_progress = now;
		if (rc >= 0x80) {
			G.nack++;
			if (t != 7) {
				slot_free(b, s);
				return true;
			}
		}
		if (t == 4) {
			if (O.qos != 1)
				return proto(c, "PUBACK for QoS 2");
			slot_free(b, s);
		} else if (t == 5) {
			if (O.qos != 2)
				return proto(c, "PUBREC for QoS 1");
			b->slot[s].st = 2;
			ack_tail(c, 0x62, pid);
		} else {
			if (b->slot[s].st != 2)
				return proto(c, "PUBCOMP before PUBREC");
			slot_free(b, s);
		}
		return true;
	}
	case 6: /* PUBREL */
		if (rl < 2)
			return proto(c, "short PUBREL");
		ack_tail(c, 0x70, rd16(p));
		return true;
	case 2: { /* CONNACK */
		if (c->st != ST_CONNECT || rl < 2)
			return proto(c, "unexpected CONNACK");
		c->sp = p[0] & 1;
		unsigned rc = p[1];
		if (rc) {
			char b[100];
			snprintf(b, sizeof b, "CONNACK refused the connection, code 0x%02x", rc);
			conn_fail(c, b);
			return false;
		}
		c->alias_max = 0;
		c->rx_max = 65535;
		if (O.ver == 5 && rl > 2) {
			const uint8_t *q = p + 2;
			uint32_t pl;
			if (!varint(&q, e, &pl) || (size_t)(e - q) < pl)
				return proto(c, "CONNACK properties");
			const uint8_t *pe = q + pl;
			while (q < pe) {
				unsigned id = *q++;
				size_t skip = 0, room = (size_t)(pe - q);
				switch (id) {
				case 0x11: case 0x27: skip = 4; break;
				case 0x21: if (room >= 2) c->rx_max = rd16(q); skip = 2; break;
				case 0x22: if (room >= 2) c->alias_max = rd16(q); skip = 2; break;
				case 0x13: skip = 2; break;
				case 0x24: case 0x25: case 0x28: case 0x29: case 0x2a: skip = 1; break;
				case 0x12: case 0x1f: case 0x1a: case 0x1c: case 0x15: case 0x16:
					if (room < 2) return proto(c, "CONNACK property");
					skip = 2u + rd16(q);
					break;
				case 0x26:
					if (room < 2) return proto(c, "CONNACK property");
					skip = 2u + rd16(q);
					if (room < skip + 2) return proto(c, "CONNACK property");
					skip += 2u + rd16(q + skip);
					break;
				default: return proto(c, "unknown CONNACK property");
				}
				if (room < skip)
					return proto(c, "CONNACK property overruns");
				q += skip;
			}
		}
		if (c->sp)
			G.sess_present++;
		if (c->role == R_SUB && O.filter && !(O.sc == SC_OFFLINE && O.stage[0] == 'd')) {
			c->st = ST_SUB;
			send_subscribe(c);
			return true;
		}
		c->st = ST_UP;
		on_up(c);
		return c->st != ST_DEAD && c->fd >= 0;
	}
	case 9: { /* SUBACK */
		if (c->st != ST_SUB || rl < 3)
			return proto(c, "unexpected SUBACK");
		const uint8_t *q = p + 2;
		if (O.ver == 5) {
			uint32_t pl;
			if (!varint(&q, e, &pl) || (size_t)(e - q) < pl)
				return proto(c, "SUBACK properties");
			q += pl;
		}
		for (; q < e; q++) {
			if (*q >= 0x80) {
				char b[100];
				snprintf(b, sizeof b, "SUBACK refused the subscription, code 0x%02x", *q);
				conn_fail(c, b);
				return false;
			}
			c->subs_done++;
		}
		if (O.sc == SC_SUBS && c->subs_done < O.topics) {
			send_subscribe(c);
			return true;
		}
		c->st = ST_UP;
		on_up(c);
		return c->st != ST_DEAD && c->fd >= 0;
	}
	case 13: /* PINGRESP */
		if (c->ping_out) {
			c->ping_out = 0;
			G.pong++;
			G.last_progress = now;
		}
		return true;
	case 14: { /* DISCONNECT (5.0) */
		char b[100];
		snprintf(b, sizeof b, "broker sent DISCONNECT, reason 0x%02x", rl ? p[0] : 0);
		conn_fail(c, b);
		return false;
	}
	default:
		return proto(c, "unexpected packet type");
	}
}

/* consume complete packets; returns the bytes used, or -1 when the connection is gone */
static ssize_t consume(conn_t *c, const uint8_t *p, size_t n, size_t *need, uint64_t now)
{
	const uint8_t *s = p;
	*need = 0;
	while (n >= 2) {
		uint32_t rl = p[1] & 127u;
		size_t i = 2;
		if (p[1] & 128) {
			int sh = 7;
			uint8_t b;
			do {
				if (i >= n)
					return p - s;
				if (i > 4) {
					proto(c, "bad remaining length");
					return -1;
				}
				b = p[i++];
				rl |= (uint32_t)(b & 127) << sh;
				sh += 7;
			} while (b & 128);
		}
		if (n - i < rl) {
			*need = i + rl;
			return p - s;
		}
		if (!handle(c, p[0], p + i, rl, now))
			return -1;
		p += i + rl;
		n -= i + rl;
	}
	return p - s;
}

static void conn_read(conn_t *c)
{
	size_t have = c->in.len;
	if (have) {
		memcpy(rbuf, c->in.p, have);
		c->in.len = 0;
	}
	for (;;) {
		ssize_t n = 0;
		bool more = false;
		if (c->ssl) {
			/* gather records until the socket is dry or the buffer is full */
			size_t got = 0;
			for (;;) {
				size_t room = rbuf_cap - have - got;
				if (!room) {
					more = true;
					break;
				}
				int r = SSL_read(c->ssl, rbuf + have + got, room > (1u << 30) ? 1 << 30 : (int)room);
				if (r > 0) {
					got += (size_t)r;
					continue;
				}
				int er = SSL_get_error(c->ssl, r);
				if (er == SSL_ERROR_WANT_READ || er == SSL_ERROR_WANT_WRITE)
					break;
				if (got) { /* use what we have, the error comes again */
					more = true;
					break;
				}
				conn_fail(c, er == SSL_ERROR_ZERO_RETURN ? "closed by broker (TLS close)" : ssl_why("TLS read"));
				return;
			}
			n = (ssize_t)got;
			if (!got) {
				if (have) {
					memcpy(buf_tail(&c->in, have), rbuf, have);
					c->in.len += have;
				}
				return;
			}
		} else {
			n = recv(c->fd, rbuf + have, rbuf_cap - have, 0);
			if (n <= 0) {
				if (n < 0 && errno == EINTR)
					continue;
				if (n < 0 && errno == EAGAIN) {
					if (have) {
						memcpy(buf_tail(&c->in, have), rbuf, have);
						c->in.len += have;
					}
					return;
				}
				conn_fail(c, n == 0 ? "closed by broker" : err_why("read"));
				return;
			}
		}
		G.bytes_rx += (uint64_t)n;
		have += (size_t)n;
		size_t need;
		ssize_t used = consume(c, rbuf, have, &need, now_ns());
		if (used < 0)
			return;
		have -= (size_t)used;
		if (have && used)
			memmove(rbuf, rbuf + used, have);
		if (need + 4096 > rbuf_cap) {
			rbuf_cap = need + 65536;
			rbuf = xrealloc(rbuf, rbuf_cap);
		}
		if (!more) {
			if (have) {
				memcpy(buf_tail(&c->in, have), rbuf, have);
				c->in.len += have;
			}
			return;
		}
	}
}

static void on_event(conn_t *c, uint32_t ev)
{
	if (c->fd < 0)
		return;
	if (c->st == ST_TCP) {
		int er = 0;
		socklen_t l = sizeof er;
		getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &er, &l);
		if (er) {
			errno = er;
			conn_fail(c, err_why("connect"));
			return;
		}
		if (!(ev & EPOLLOUT))
			return;
		if (O.tls) {
			tls_start(c);
			tls_step(c);
		} else {
			c->st = ST_CONNECT;
			ep_set(c, 0);
			send_connect(c);
			conn_flush(c);
		}
		return;
	}
	if (c->st == ST_TLS) {
		tls_step(c);
		return;
	}
	if (ev & EPOLLOUT) {
		conn_flush(c);
		if (c->fd < 0)
			return;
		if (c->pub && c->st == ST_UP)
			mark_ready(c->pub);
	}
	if (ev & (EPOLLIN | EPOLLHUP | EPOLLERR))
		conn_read(c);
}

/* -------------------------------------------------------------- publisher */

/* user property "ke<i>": "value" */
enum { MAX_USER_PROPS = 8, USER_PROP_LEN = 13 };

static void pub_template(pub_t *p, uint32_t t, bool alias_empty)
{
	char topic[1024];
	expand(topic, sizeof topic, O.topic, p->idx, t, 0);
	size_t tl = alias_empty ? 0 : strlen(topic);
	uint8_t props[1 + 3 + MAX_USER_PROPS * USER_PROP_LEN];
	unsigned pl = 0;
	if (O.ver == 5) {
		pl = 1;
		if (O.alias && p->c->alias_max) {
			memcpy(props + pl, "\x23\0\1", 3);
			pl += 3;
		}
		for (unsigned i = 0; i < O.userprops; i++, pl += USER_PROP_LEN) {
			memcpy(props + pl, "\x26\0\3key\0\5value", USER_PROP_LEN);
			props[pl + 5] = (uint8_t)('0' + i);
		}
		props[0] = (uint8_t)(pl - 1); /* below 128: one byte */
	}
	uint32_t rl = (uint32_t)(2 + tl + (O.qos ? 2u : 0u) + pl + O.size);
	size_t cap = 5u + rl;
	p->tpl = xrealloc(p->tpl, cap);
	uint8_t *q = p->tpl;
	*q++ = (uint8_t)(0x30 | O.qos << 1 | (O.retain ? 1 : 0));
	q += put_varint(q, rl);
	wr16(q, (unsigned)tl);
	q += 2;
	memcpy(q, topic, tl);
	q += tl;
	p->tpl_pid = 0;
	if (O.qos) {
		p->tpl_pid = (uint32_t)(q - p->tpl);
		q += 2;
	}
	memcpy(q, props, pl);
	q += pl;
	p->tpl_pay = (uint32_t)(q - p->tpl);
	for (uint32_t i = 0; i < O.size; i++)
		q[i] = fill_byte(p->idx, i);
	if (O.size >= HDR_LEN) {
		memcpy(q, &G.tag, 4);
		memcpy(q + 4, &p->idx, 4);
	}
	p->tpl_len = (uint32_t)(q + O.size - p->tpl);
}

static void pub_fill(pub_t *p, uint64_t now)
{
	conn_t *c = p->c;
	unsigned batch = O.batch ? O.batch : UINT32_MAX, done = 0;
	if (!G.sending || c->st != ST_UP)
		return;
	uint64_t maxout = (uint64_t)O.credit * p->fan;
	while (done < batch) {
		if (p->sent >= p->limit)
			break;
		uint64_t ts = now;
		if (O.rate > 0) {
			ts = G.t_run0 + (uint64_t)(((double)p->idx + (double)p->sent * (double)G.P) * G.interval);
			if (ts > now || ts >= G.t_m1)
				break;
		} else if (p->fan && O.credit && p->sent * p->fan >= p->delivered + maxout)
			break;
		if (buf_left(&c->out) >= OUT_HI)
			break;
		unsigned s = 0;
		if (O.qos) {
			if (!p->nfree)
				break;
			s = p->freel[--p->nfree];
			p->slot[s].seq = (uint32_t)p->sent;
			p->slot[s].st = 1;
		}
		if (p->tmod > 1)
			pub_template(p, p->tbase + (uint32_t)(p->sent % p->tmod), false);
		uint8_t *q = buf_tail(&c->out, p->tpl_len);
		memcpy(q, p->tpl, p->tpl_len);
		if (O.qos)
			wr16(q + p->tpl_pid, s + 1u);
		uint32_t seq = (uint32_t)p->sent;
		memcpy(q + p->tpl_pay + 8, &seq, 4);
		memcpy(q + p->tpl_pay + 12, &ts, 8);
		c->out.len += p->tpl_len;
		p->sent++;
		G.sent++;
		done++;
		if (UNLIKELY(O.alias && c->alias_max && !p->alias_set)) {
			p->alias_set = 1;
			pub_template(p, 0, true);
		}
	}
	if (done == batch)
		mark_ready(p);
	if (done && !c->want_out)
		conn_flush(c);
}

static void pub_init(pub_t *p, conn_t *c, uint32_t idx)
{
	memset(p, 0, sizeof *p);
	p->c = c;
	p->idx = idx;
	p->tmod = O.topics;
	p->limit = O.count ? O.count : UINT64_MAX;
	c->pub = p;
	if (O.qos) {
		p->nslot = O.window;
		p->slot = xcalloc(p->nslot, sizeof *p->slot);
		p->freel = xcalloc(p->nslot, sizeof *p->freel);
	}
}

static void pub_up(pub_t *p)
{
	if (O.qos) {
		uint32_t w = p->nslot;
		if (O.ver == 5 && p->c->rx_max < w)
			w = p->c->rx_max;
		p->nfree = 0;
		for (uint32_t s = w; s-- > 0;)
			p->freel[p->nfree++] = (uint16_t)s;
	}
	pub_template(p, p->tbase, false);
}

static void send_subscribe(conn_t *c)
{
	static buf_t b;
	char f[1024], g[1200];
	b.off = b.len = 0;
	put_u16(&b, 1);
	if (O.ver == 5)
		put_u8(&b, 0);
	unsigned n = 0;
	uint32_t lim = O.sc == SC_SUBS ? O.topics : 1, per = O.sc == SC_SUBS ? O.subbatch : 1;
	while (n < per && c->subs_sent < lim) {
		expand(f, sizeof f, O.filter, c->idx, c->subs_sent, O.groups ? c->idx % O.groups : 0);
		if (O.groups) {
			snprintf(g, sizeof g, "$share/g%u/%s", c->idx % O.groups, f);
			put_str(&b, g);
		} else
			put_str(&b, f);
		put_u8(&b, (unsigned)O.subqos);
		c->subs_sent++;
		n++;
	}
	emit_packet(c, 0x82, &b);
}

/* ------------------------------------------------------------ event loop */

static void pump_open(void)
{
	while (G.opening < O.inflight && G.open_next < G.open_end) {
		conn_t *c = &G.conns[G.open_next++];
		if (conn_open(c))
			G.opening++;
		else
			on_down(c, G.last_err);
	}
}

static void loop_once(int timeout_ms)
{
	static struct epoll_event ev[1024];
	int n = epoll_wait(G.ep, ev, 1024, timeout_ms);
	if (n < 0 && errno != EINTR)
		die(2, "epoll_wait: %s", strerror(errno));
	for (int i = 0; i < n; i++)
		on_event(ev[i].data.ptr, ev[i].events);
	if (G.open_next < G.open_end)
		pump_open();
	if (G.sending) {
		uint64_t now = now_ns();
		if (O.rate > 0) {
			/* every message that is due by now makes its publisher ready */
			uint64_t k = now > G.t_run0 ? (uint64_t)((double)(now - G.t_run0) / G.interval) : 0;
			uint64_t m = k - G.sched_k;
			if (m > G.P)
				m = G.P;
			for (uint64_t j = 0; j <= m; j++)
				mark_ready(&G.pubs[(G.sched_k + j) % G.P]);
			G.sched_k = k;
		}
		uint32_t nr = G.nready;
		if (nr) {
			static pub_t **tmp;
			static uint32_t cap;
			if (cap < nr) {
				cap = G.P;
				tmp = xrealloc(tmp, cap * sizeof *tmp);
			}
			memcpy(tmp, G.ready, nr * sizeof *tmp);
			G.nready = 0;
			for (uint32_t i = 0; i < nr; i++)
				tmp[i]->on_ready = 0;
			for (uint32_t i = 0; i < nr; i++)
				pub_fill(tmp[i], now);
		}
	} else if (G.nready) {
		for (uint32_t i = 0; i < G.nready; i++)
			G.ready[i]->on_ready = 0;
		G.nready = 0;
	}
	for (uint32_t i = 0; i < G.nflush; i++) {
		conn_t *c = G.flush[i];
		c->on_flush = 0;
		if (c->fd >= 0)
			conn_flush(c);
	}
	G.nflush = 0;
}

static void keepalive_sweep(uint64_t now)
{
	static uint64_t last;
	if (!O.keepalive || now - last < 1000000000ull)
		return;
	last = now;
	uint64_t lim = (uint64_t)O.keepalive * 500000000ull;
	for (uint32_t i = 0; i < G.nconns; i++) {
		conn_t *c = &G.conns[i];
		if (c->st == ST_UP && now - c->last_tx > lim && !buf_left(&c->out)) {
			/* spread: the first ping of each connection comes at a different time */
			c->last_tx = now;
			send_simple(c, 0xc0);
		}
	}
}

static void need_up(uint32_t lo, uint32_t hi, const char *what)
{
	G.up = 0;
	G.opening = 0;
	G.open_next = lo;
	G.open_end = hi;
	uint64_t t0 = now_ns(), last = t0;
	uint32_t seen = 0;
	pump_open();
	while (G.up + G.failed < hi - lo) {
		loop_once(50);
		uint64_t now = now_ns();
		if (G.up != seen) {
			seen = G.up;
			last = now;
		}
		if (G.failed && O.sc != SC_IDLE)
			die(2, "%s %s:%d: %s", what, O.host, O.port, G.last_err);
		if ((double)(now - last) > O.ctimeout * 1e9)
			die(2, "%s %s:%d: %u of %u are up, no progress for %.0f s%s%s", what, O.host, O.port,
			    G.up, hi - lo, O.ctimeout, G.last_err[0] ? "; last error: " : "", G.last_err);
		if (g_sig)
			die(2, "interrupted while connecting");
	}
}

/* --------------------------------------------------------------- results */

static char jb[65536];
static size_t jn;

static void jraw(const char *fmt, ...) PRINTF(1, 2);
static void jraw(const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(jb + jn, sizeof jb - jn, fmt, ap);
	va_end(ap);
	if (n > 0 && (size_t)n < sizeof jb - jn)
		jn += (size_t)n;
}

static void jkey(const char *k) { jraw("%s\"%s\":", jn && jb[jn - 1] != '{' ? "," : "", k); }
static void ju(const char *k, uint64_t v) { jkey(k); jraw("%" PRIu64, v); }
static void jd(const char *k, double v) { jkey(k); jraw("%.6g", v == v ? v : 0.0); }
static void jf(const char *k, double v, int prec) { jkey(k); jraw("%.*f", prec, v == v ? v : 0.0); }
static void js(const char *k, const char *v)
{
	jkey(k);
	jraw("\"");
	for (; *v; v++) {
		unsigned char ch = (unsigned char)*v;
		if (ch == '"' || ch == '\\')
			jraw("\\%c", ch);
		else if (ch < 32)
			jraw("\\u%04x", ch);
		else
			jraw("%c", ch);
	}
	jraw("\"");
}

static void j_begin(void)
{
	jn = 0;
	jraw("{");
	js("tool", "mqttload " MQTTLOAD_VERSION);
	if (O.label)
		js("label", O.label);
	js("scenario", O.scname);
	ju("proto", (uint64_t)O.ver);
	ju("tls", (uint64_t)O.tls);
	ju("mtls", O.cert ? 1 : 0);
	if (O.tls) {
		js("tls_version", G.tls_ver);
		js("tls_cipher", G.tls_cipher);
	}
}

static void j_broker(const sample_t *a, const sample_t *b, uint64_t pss, double work)
{
	double el = (double)(b->t - a->t) / 1e9, gcpu = b->self_cpu - a->self_cpu;
	jf("gen_cpu_s", gcpu, 3);
	jf("gen_cpu_pct", el > 0 ? 100 * gcpu / el : 0, 1);
	if (!O.npids)
		return;
	double u = b->user - a->user, s = b->sys - a->sys, t = u + s;
	ju("broker_procs", (uint64_t)b->nproc);
	jf("broker_user_s", u, 3);
	jf("broker_sys_s", s, 3);
	jf("broker_cpu_s", t, 3);
	jf("broker_cpu_pct", el > 0 ? 100 * t / el : 0, 1);
	jf("per_cpu_s", t > 0 ? work / t : 0, 1);
	ju("rss_kb_start", a->rss_kb);
	ju("rss_kb_end", b->rss_kb);
	ju("rss_kb_peak", b->hwm_kb);
	if (pss)
		ju("pss_kb_end", pss);
}

static void j_lat(const char *pfx, const hist_t *h)
{
	static const struct { const char *n; double q; } Q[] = {
		{ "p50", .5 }, { "p90", .9 }, { "p99", .99 }, { "p999", .999 }, { "p9999", .9999 } };
	char k[64];
	snprintf(k, sizeof k, "%s_n", pfx);
	ju(k, h->n);
	if (!h->n)
		return;
	for (size_t i = 0; i < sizeof Q / sizeof *Q; i++) {
		snprintf(k, sizeof k, "%s_%s_us", pfx, Q[i].n);
		jf(k, (double)hist_q(h, Q[i].q) / 1e3, 1);
	}
	snprintf(k, sizeof k, "%s_max_us", pfx);
	jf(k, (double)h->max / 1e3, 1);
	snprintf(k, sizeof k, "%s_mean_us", pfx);
	jf(k, h->sum / (double)h->n / 1e3, 1);
}

static void j_end(void)
{
	if (G.last_err[0])
		js("last_error", G.last_err);
	jraw("}");
	if (jn + 2 > sizeof jb)
		die(2, "result line too long");
	puts(jb);
	fflush(stdout);
}

static void human_lat(const char *what, const hist_t *h)
{
	if (h->n)
		say("%s: p50 %.0f  p90 %.0f  p99 %.0f  p99.9 %.0f  max %.0f us  (n=%" PRIu64 ")", what,
		    (double)hist_q(h, .5) / 1e3, (double)hist_q(h, .9) / 1e3, (double)hist_q(h, .99) / 1e3,
		    (double)hist_q(h, .999) / 1e3, (double)h->max / 1e3, h->n);
}

static void human_broker(const sample_t *a, const sample_t *b, double work, const char *unit)
{
	double el = (double)(b->t - a->t) / 1e9, t = b->user - a->user + b->sys - a->sys;
	say("generator CPU %.2f s (%.0f%%)", b->self_cpu - a->self_cpu,
	    el > 0 ? 100 * (b->self_cpu - a->self_cpu) / el : 0);
	if (O.npids) {
		say("broker CPU %.2f s (user %.2f sys %.2f, %.0f%%), %.0f %s per broker CPU second, RSS %.1f -> %.1f MiB",
		    t, b->user - a->user, b->sys - a->sys, el > 0 ? 100 * t / el : 0, t > 0 ? work / t : 0, unit,
		    (double)a->rss_kb / 1024, (double)b->rss_kb / 1024);
		if (!b->nproc)
			say("warning: the broker pid given with --pid is gone");
	}
}

/* ----------------------------------------------------------- coalescing */

/*
 * A generator that answers every single delivery at once wakes up for each
 * message, which costs it (and the broker, which pays for the wake-up) far more
 * than the message itself.  In closed loop it therefore naps between rounds,
 * as long as only a small part of the outstanding window came back in a round:
 * the broker always has nearly the whole window in front of it.
 */
static struct { uint64_t nap_ns, last, total; } CO;

static void coalesce_init(void)
{
	CO.total = 0;
	for (uint32_t i = 0; i < G.P; i++) {
		uint64_t w = 0;
		if (O.qos)
			w = O.credit && G.pubs[i].fan && O.credit < O.window ? O.credit : O.window;
		else if (G.pubs[i].fan)
			w = (uint64_t)O.credit * G.pubs[i].fan;
		CO.total += w;
	}
	CO.nap_ns = 0;
	CO.last = 0;
}

static void coalesce(void)
{
	if (!O.maxnap || !CO.total || O.rate > 0 || !G.sending)
		return;
	uint64_t cur = O.qos ? G.acked : G.uniq, back = cur - CO.last;
	CO.last = cur;
	if (back * 6 < CO.total) {
		CO.nap_ns += CO.nap_ns / 4 + 5000;
		if (CO.nap_ns > O.maxnap * 1000ull)
			CO.nap_ns = O.maxnap * 1000ull;
	} else if (back * 3 > CO.total)
		CO.nap_ns /= 2;
	if (CO.nap_ns >= 20000) {
		struct timespec ts = { 0, (long)CO.nap_ns };
		nanosleep(&ts, NULL);
	}
}

/* ------------------------------------------------------------- scenarios */

static void on_up(conn_t *c)
{
	G.up++;
	G.connects++;
	if (G.opening)
		G.opening--;
	c->last_tx = now_ns();
	if (O.sc == SC_CONN) {
		if (G.measuring)
			hist_add(&G.clat, c->last_tx - c->t0);
		c->closing = 1;
		send_simple(c, 0xe0);
		conn_flush(c);
		if (c->st != ST_DEAD) { /* else conn_fail() has called on_down() */
			conn_close(c);
			c->st = ST_DEAD;
			on_down(c, NULL);
		}
		return;
	}
	hist_add(&G.clat, c->last_tx - c->t0);
	if (c->pub) {
		pub_up(c->pub);
		if (G.sending)
			mark_ready(c->pub);
	}
}

static conn_t **g_reopen;
static uint32_t g_nreopen;

static void on_down(conn_t *c, const char *why)
{
	if (O.sc == SC_CONN) {
		g_reopen[g_nreopen++] = c;
		return;
	}
	if (G.setup) {
		G.failed++;
		if (why)
			snprintf(G.last_err, sizeof G.last_err, "%s", why);
	}
}

static void build_streams(void)
{
	uint32_t P = G.P, S = G.S;
	bool identity = O.sc == SC_PAIRS || (O.sc == SC_OFFLINE && P == S);
	if (identity) {
		G.nstreams = P;
		G.streams = xcalloc(P, sizeof *G.streams);
		for (uint32_t p = 0; p < P; p++)
			G.pubs[p].fan = 1;
		return;
	}
	if (!S)
		return;
	if ((uint64_t)P * S > 64u * 1000 * 1000)
		die(1, "%u publishers x %u subscribers is more than this tool tracks (64 million pairs)", P, S);
	G.smap = xmalloc((size_t)P * S * sizeof *G.smap);
	uint32_t ng = O.groups;
	/* one representative topic per publisher is enough: %t must be matched by a wildcard */
	char (*tp)[1024] = xmalloc((size_t)P * sizeof *tp);
	for (uint32_t p = 0; p < P; p++)
		expand(tp[p], sizeof tp[p], O.topic, p, G.pubs[p].tbase, 0);
	int32_t *gmap = NULL;
	if (ng) {
		gmap = xmalloc((size_t)P * ng * sizeof *gmap);
		memset(gmap, 0xff, (size_t)P * ng * sizeof *gmap);
		G.lastseq = xcalloc((size_t)P * S, sizeof *G.lastseq);
	}
	uint32_t n = 0;
	for (uint32_t s = 0; s < S; s++) {
		char f[1024];
		expand(f, sizeof f, O.filter, s, 0, ng ? s % ng : 0);
		for (uint32_t p = 0; p < P; p++) {
			int32_t *m = &G.smap[(size_t)s * P + p];
			*m = -1;
			if (!match(f, tp[p]))
				continue;
			if (ng) {
				int32_t *g = &gmap[(size_t)(s % ng) * P + p];
				if (*g < 0) {
					*g = (int32_t)n++;
					G.pubs[p].fan++;
				}
				*m = *g;
			} else {
				*m = (int32_t)n++;
				G.pubs[p].fan++;
			}
		}
	}
	free(gmap);
	free(tp);
	G.nstreams = n;
	G.streams = xcalloc(n, sizeof *G.streams);
	if (!n)
		die(1, "no subscriber filter ('%s') matches any publisher topic ('%s')", O.filter, O.topic);
}

static void alloc_conns(uint32_t n)
{
	if (!n || n > MAX_CONNS)
		die(1, "%u connections: must be 1 .. %u", n, MAX_CONNS);
	struct rlimit rl;
	if (!getrlimit(RLIMIT_NOFILE, &rl) && rl.rlim_cur < n + 64) {
		struct rlimit w = { .rlim_cur = n + 64, .rlim_max = rl.rlim_max > n + 64 ? rl.rlim_max : n + 64 };
		if (setrlimit(RLIMIT_NOFILE, &w) < 0)
			die(2, "need %u file descriptors, the limit is %ju: %s", n + 64, (uintmax_t)rl.rlim_cur,
			    strerror(errno));
	}
	G.nconns = n;
	G.conns = xcalloc(n, sizeof *G.conns);
	for (uint32_t i = 0; i < n; i++) {
		G.conns[i].fd = -1;
		G.conns[i].clean = O.persistent ? 0 : 1;
	}
}

static uint64_t expected_total(void)
{
	uint64_t e = 0;
	for (uint32_t p = 0; p < G.P; p++)
		e += G.pubs[p].sent * G.pubs[p].fan;
	return e;
}

static void disconnect_all(uint32_t lo, uint32_t hi)
{
	for (uint32_t i = lo; i < hi; i++) {
		conn_t *c = &G.conns[i];
		if (c->st != ST_UP)
			continue;
		c->closing = 1;
		send_simple(c, 0xe0);
		conn_flush(c);
	}
	uint64_t t0 = now_ns();
	loop_once(20);
	(void)t0;
	for (uint32_t i = lo; i < hi; i++) {
		conn_t *c = &G.conns[i];
		if (c->st == ST_DEAD)
			continue;
		conn_close(c);
		c->st = ST_DEAD;
	}
}

static int finish(uint64_t lost)
{
	if (O.strict && (lost || G.dup || G.ooo || G.corrupt || G.unexpected || G.stale || G.disconnects ||
			 G.nack || G.proto_err || G.conn_fail))
		return 3;
	return 0;
}

static void j_integrity(uint64_t expected, uint64_t lost)
{
	ju("sent", G.sent);
	ju("acked", G.acked);
	ju("unacked", G.unacked);
	ju("expected", expected);
	ju("received", G.rx);
	ju("unique", G.uniq);
	ju("lost", lost);
	ju("dup", G.dup);
	ju("out_of_order", G.ooo);
	ju("corrupt", G.corrupt);
	ju("stale", G.stale);
	ju("unexpected", G.unexpected);
	ju("nack", G.nack);
	ju("disconnects", G.disconnects);
	ju("conn_fail", G.conn_fail);
	ju("proto_errors", G.proto_err);
	ju("stalls", G.stalls);
}

static void human_integrity(uint64_t expected, uint64_t lost)
{
	say("sent %" PRIu64 " acked %" PRIu64 " unacked %" PRIu64 " expected %" PRIu64 " unique %" PRIu64
	    " lost %" PRIu64 " dup %" PRIu64 " out-of-order %" PRIu64 " corrupt %" PRIu64 " stale %" PRIu64
	    " unexpected %" PRIu64 " nack %" PRIu64 " disconnects %" PRIu64 " stalls %" PRIu64,
	    G.sent, G.acked, G.unacked, expected, G.uniq, lost, G.dup, G.ooo, G.corrupt, G.stale,
	    G.unexpected, G.nack, G.disconnects, G.stalls);
	if (G.last_err[0])
		say("last error: %s", G.last_err);
}

/* open loop: how many messages of this publisher were due before the window ended */
static uint64_t due_total(const pub_t *p)
{
	uint64_t n = p->sent;
	for (;;) {
		if (n >= p->limit)
			return n;
		uint64_t ts = G.t_run0 + (uint64_t)(((double)p->idx + (double)n * (double)G.P) * G.interval);
		if (ts >= G.t_m1)
			return n;
		/* jump: exact to one message, then step */
		double left = (double)(G.t_m1 - ts) / (G.interval * (double)G.P);
		n += left > 4 ? (uint64_t)(left - 2) : 1;
	}
}

static int run_flow(void)
{
	G.P = O.npub;
	G.S = O.nsub;
	alloc_conns(G.P + G.S);
	G.pubs = xcalloc(G.P, sizeof *G.pubs);
	G.ready = xcalloc(G.P + 1, sizeof *G.ready);
	for (uint32_t i = 0; i < G.S; i++) {
		G.conns[i].role = R_SUB;
		G.conns[i].idx = i;
	}
	for (uint32_t i = 0; i < G.P; i++) {
		conn_t *c = &G.conns[G.S + i];
		c->role = R_PUB;
		c->idx = i;
		pub_init(&G.pubs[i], c, i);
	}
	build_streams();
	G.setup = 1;
	if (G.S)
		need_up(0, G.S, "subscribers on");
	need_up(G.S, G.S + G.P, "publishers on");
	G.setup = 0;

	sample_t s0, s1;
	uint64_t sent0, rx0, acked0, bt0, br0, sent1 = 0, rx1 = 0, acked1 = 0, bt1 = 0, br1 = 0, pss = 0;
	uint64_t start = now_ns();
	G.t_run0 = start + 1000000;
	if (O.rate > 0)
		G.interval = 1e9 / O.rate;
	uint64_t m0 = start + (uint64_t)(O.warmup * 1e9);
	uint64_t m1 = O.count ? UINT64_MAX : m0 + (uint64_t)(O.duration * 1e9);
	G.t_m0 = G.t_m1 = UINT64_MAX;
	G.sending = 1;
	coalesce_init();
	G.last_progress = start;
	for (uint32_t i = 0; i < G.P; i++)
		mark_ready(&G.pubs[i]);
	memset(&s0, 0, sizeof s0);
	memset(&s1, 0, sizeof s1);
	sent0 = rx0 = acked0 = bt0 = br0 = 0;
	bool done = false;
	int timeout = O.rate > 0 ? (O.spin ? 0 : 1) : 10;
	uint64_t drain_from = 0, lastseen = 0, t_last = 0, unsent = 0;
	while (!done) {
		uint64_t now = now_ns();
		if (!drain_from && !G.measuring && G.sending && now >= m0) {
			take_sample(&s0, NULL);
			G.measuring = 1;
			G.t_m0 = s0.t;
			sent0 = G.sent;
			rx0 = G.uniq;
			acked0 = G.acked;
			bt0 = G.bytes_tx;
			br0 = G.bytes_rx;
			if (!O.count)
				m1 = s0.t + (uint64_t)(O.duration * 1e9);
		}
		bool all = false;
		if (O.count) {
			all = true;
			for (uint32_t i = 0; i < G.P && all; i++)
				all = G.pubs[i].sent >= G.pubs[i].limit || G.pubs[i].c->st != ST_UP;
		}
		if (!drain_from && (now >= m1 || all || g_sig)) {
			if (!O.count) {
				sent1 = G.sent; rx1 = G.uniq; acked1 = G.acked;
				bt1 = G.bytes_tx; br1 = G.bytes_rx;
				take_sample(&s1, NULL);
				G.measuring = 0;
				G.t_m1 = s1.t;
				/* open loop: what was due in the window is still sent, with its intended time */
				if (O.rate <= 0 || g_sig)
					G.sending = 0;
			}
			drain_from = now;
			t_last = now;
		}
		if (drain_from) {
			uint64_t inflight = 0;
			if (O.qos)
				for (uint32_t i = 0; i < G.P; i++)
					if (G.pubs[i].c->st == ST_UP)
						inflight += G.pubs[i].sent - G.pubs[i].acked;
			uint64_t exp = expected_total();
			if (O.rate > 0 && G.sending) {
				unsent = 0;
				for (uint32_t i = 0; i < G.P; i++) {
					unsent += due_total(&G.pubs[i]) - G.pubs[i].sent;
					mark_ready(&G.pubs[i]);
				}
				if (!unsent || (double)(now - drain_from) > O.maxdrain * 1e9)
					G.sending = 0;
			}
			uint64_t seen = G.rx + G.acked + G.sent;
			if (seen != lastseen) {
				lastseen = seen;
				t_last = now;
			}
			if ((G.uniq >= exp && !inflight && !(O.rate > 0 && G.sending)) || (double)(now - t_last) > O.drain * 1e9 ||
			    (double)(now - drain_from) > O.maxdrain * 1e9 || g_sig > 1) {
				done = true;
				if (O.count) {
					take_sample(&s1, NULL);
					if (G.uniq < exp || inflight) /* do not count the wait for what never came */
						s1.t = t_last;
					sent1 = G.sent; rx1 = G.uniq; acked1 = G.acked;
					bt1 = G.bytes_tx; br1 = G.bytes_rx;
				}
				break;
			}
		} else if (O.rate <= 0 && G.sending && now - G.last_progress > 1000000000ull && !O.qos && G.nstreams) {
			/* QoS 0 credit is used up and nothing comes: the broker dropped messages */
			G.stalls++;
			G.last_progress = now;
			for (uint32_t i = 0; i < G.P; i++) {
				G.pubs[i].delivered = G.pubs[i].sent * G.pubs[i].fan;
				mark_ready(&G.pubs[i]);
			}
		}
		keepalive_sweep(now);
		coalesce();
		loop_once(drain_from ? 5 : timeout);
	}
	sample_t tmp;
	take_sample(&tmp, &pss);
	for (uint32_t i = 0; i < G.P; i++)
		if (O.qos)
			G.unacked += G.pubs[i].sent - G.pubs[i].acked;
	uint64_t expected = expected_total(), lost = expected > G.uniq ? expected - G.uniq : 0;
	double el = (double)(s1.t - s0.t) / 1e9;
	if (el <= 0)
		el = 1e-9;
	uint64_t wrx = rx1 - rx0, wtx = sent1 - sent0, wak = acked1 - acked0;
	double work = G.nstreams ? (double)wrx : O.qos ? (double)wak : (double)wtx;
	disconnect_all(0, G.nconns);

	j_begin();
	ju("qos", (uint64_t)O.qos);
	ju("sub_qos", (uint64_t)O.subqos);
	ju("size", O.size);
	ju("retain", (uint64_t)O.retain);
	ju("pubs", G.P);
	ju("subs", G.S);
	ju("groups", O.groups);
	ju("topics", O.topics);
	ju("window", O.qos ? O.window : 0);
	ju("credit", O.rate > 0 ? 0 : O.credit);
	jd("rate", O.rate);
	jf("window_s", el, 4);
	ju("win_sent", wtx);
	ju("win_acked", wak);
	ju("win_recv", wrx);
	jf("send_rate", (double)wtx / el, 1);
	jf("ack_rate", (double)wak / el, 1);
	jf("recv_rate", (double)wrx / el, 1);
	jf("mb_out_s", (double)(bt1 - bt0) / el / 1e6, 2);
	jf("mb_in_s", (double)(br1 - br0) / el / 1e6, 2);
	j_broker(&s0, &s1, pss, work);
	j_integrity(expected, lost);
	ju("unsent_due", unsent);
	uint64_t never = O.rate > 0 ? unsent + lost : 0;
	ju("lat_never", never);
	j_lat("lat", &G.lat);
	j_end();

	say("%s: %u pub -> %u sub, QoS %d, %u B, MQTT %s%s", O.scname, G.P, G.S, O.qos, O.size,
	    O.ver == 5 ? "5.0" : "3.1.1", O.tls ? O.cert ? ", mTLS" : ", TLS" : "");
	say("window %.2f s: sent %.0f/s, acked %.0f/s, received %.0f/s (%.1f MB/s out, %.1f MB/s in)", el,
	    (double)wtx / el, (double)wak / el, (double)wrx / el, (double)(bt1 - bt0) / el / 1e6,
	    (double)(br1 - br0) / el / 1e6);
	human_broker(&s0, &s1, work, G.nstreams ? "deliveries" : "messages");
	human_integrity(expected, lost);
	if (never)
		say("warning: %" PRIu64 " due messages were never sent or never delivered; no latency is counted for them", never);
	human_lat(O.rate > 0 ? "latency (from the intended send time)" : "latency (closed loop, queueing included)", &G.lat);
	return finish(lost);
}

static int run_conn(void)
{
	uint32_t K = O.inflight;
	alloc_conns(K);
	g_reopen = xcalloc(K + 1, sizeof *g_reopen);
	for (uint32_t i = 0; i < K; i++) {
		G.conns[i].role = R_RAW;
		G.conns[i].idx = i;
		g_reopen[g_nreopen++] = &G.conns[i];
	}
	uint64_t total = O.n_set ? O.npub : 0, opened = 0;
	uint64_t start = now_ns();
	uint64_t m0 = start + (uint64_t)(O.warmup * 1e9), m1 = total ? UINT64_MAX : m0 + (uint64_t)(O.duration * 1e9);
	sample_t s0, s1;
	memset(&s0, 0, sizeof s0);
	uint64_t c0 = 0, f0 = 0, r0 = 0, pss = 0, lastc = 0, tlast = start;
	if (total)
		m0 = start;
	for (;;) {
		uint64_t now = now_ns();
		if (!G.measuring && now >= m0) {
			take_sample(&s0, NULL);
			G.measuring = 1;
			c0 = G.connects;
			f0 = G.conn_fail;
			r0 = G.resumed;
		}
		if (now >= m1 || g_sig)
			break;
		if (total && G.connects + G.conn_fail >= total)
			break;
		uint32_t n = g_nreopen, back = 0;
		g_nreopen = 0;
		for (uint32_t i = 0; i < n; i++) {
			conn_t *c = g_reopen[i];
			if (total && opened >= total) {
				back++;
				continue;
			}
			opened++;
			bool ok = conn_open(c);
			if (!ok)
				g_reopen[g_nreopen++] = c;
			if (!ok || (O.resume && !G.sess)) { /* for its ticket the first connection goes alone */
				for (uint32_t j = i + 1; j < n; j++)
					g_reopen[g_nreopen++] = g_reopen[j];
				break;
			}
		}
		if (O.resume && !G.sess) {
			conn_t *first = NULL;
			for (uint32_t i = 0; i < K; i++)
				if (G.conns[i].fd >= 0)
					first = &G.conns[i];
			uint64_t w0 = now_ns();
			while (first && first->fd >= 0 && now_ns() - w0 < 3000000000ull)
				loop_once(20);
			if (!G.sess)
				die(2, "--resume: the broker gave no session ticket%s%s", G.last_err[0] ? ": " : "", G.last_err);
		}
		if (G.connects != lastc) {
			lastc = G.connects;
			tlast = now;
		}
		if ((double)(now - tlast) > O.ctimeout * 1e9)
			die(2, "no connection succeeded for %.0f s (%" PRIu64 " ok, %" PRIu64 " failed)%s%s", O.ctimeout,
			    G.connects, G.conn_fail, G.last_err[0] ? ": " : "", G.last_err);
		if (G.conn_fail > 1000 && G.conn_fail > 10 * G.connects)
			die(2, "%" PRIu64 " connections failed: %s", G.conn_fail, G.last_err);
		loop_once(5);
	}
	take_sample(&s1, &pss);
	double el = (double)(s1.t - s0.t) / 1e9;
	uint64_t n = G.connects - c0;
	for (uint32_t i = 0; i < K; i++)
		if (G.conns[i].fd >= 0)
			conn_close(&G.conns[i]);
	j_begin();
	ju("inflight", K);
	ju("resume", (uint64_t)O.resume);
	jf("window_s", el, 4);
	ju("connects", n);
	ju("conn_fail", G.conn_fail - f0);
	ju("resumed", G.resumed - r0);
	jf("conn_rate", (double)n / el, 1);
	j_broker(&s0, &s1, pss, (double)n);
	j_lat("conn", &G.clat);
	j_end();
	say("conn: %.0f connects/s (%" PRIu64 " in %.2f s, %" PRIu64 " failed, %" PRIu64 " resumed), %u in flight",
	    (double)n / el, n, el, G.conn_fail - f0, G.resumed - r0, K);
	human_broker(&s0, &s1, (double)n, "connects");
	human_lat("connect to CONNACK", &G.clat);
	return O.strict && G.conn_fail ? 3 : 0;
}

static int run_idle(void)
{
	uint32_t N = O.npub;
	alloc_conns(N);
	for (uint32_t i = 0; i < N; i++) {
		G.conns[i].role = O.filter ? R_SUB : R_RAW;
		G.conns[i].idx = i;
	}
	sample_t s0, s1, s2;
	uint64_t pss0 = 0, pss1 = 0;
	take_sample(&s0, &pss0);
	G.setup = 1;
	need_up(0, N, "idle connections to");
	G.setup = 0;
	uint32_t up = G.up;
	/* settle */
	uint64_t t = now_ns();
	while (now_ns() - t < 300000000ull)
		loop_once(20);
	take_sample(&s1, &pss1);
	say("idle: %u of %u connected in %.2f s, %u failed%s%s", up, N, (double)(s1.t - s0.t) / 1e9 - 0.3, G.failed,
	    G.last_err[0] ? "; last error: " : "", G.last_err);
	uint64_t end = s1.t + (uint64_t)(O.duration * 1e9);
	for (uint64_t now; (now = now_ns()) < end && !g_sig;) {
		keepalive_sweep(now);
		loop_once(50);
	}
	take_sample(&s2, NULL);
	uint64_t lost = G.disconnects;
	/* liveness: every connection must answer a PINGREQ */
	G.pong = 0;
	uint32_t asked = 0;
	for (uint32_t i = 0; i < N; i++)
		if (G.conns[i].st == ST_UP) {
			G.conns[i].ping_out = 1;
			send_simple(&G.conns[i], 0xc0);
			asked++;
			if (asked % 512 == 0)
				loop_once(0);
		}
	t = now_ns();
	while (G.pong < asked && now_ns() - t < 15000000000ull)
		loop_once(20);
	double per = up ? ((double)s1.rss_kb - (double)s0.rss_kb) * 1024 / up : 0;
	double perp = up ? ((double)pss1 - (double)pss0) * 1024 / up : 0;
	j_begin();
	ju("conns", N);
	ju("connected", up);
	ju("conn_fail", G.failed);
	ju("disconnects", lost);
	ju("alive", G.pong);
	jf("connect_s", (double)(s1.t - s0.t) / 1e9 - 0.3, 3);
	jf("hold_s", (double)(s2.t - s1.t) / 1e9, 3);
	ju("rss_kb_before", s0.rss_kb);
	ju("rss_kb_after", s1.rss_kb);
	jf("rss_per_conn", per, 0);
	jf("pss_per_conn", perp, 0);
	j_broker(&s1, &s2, 0, 0);
	j_end();
	say("alive after the hold: %" PRIu64 " of %u; disconnects %" PRIu64, G.pong, N, lost);
	if (O.npids)
		say("broker RSS %.1f -> %.1f MiB: %.0f bytes per connection (PSS %.0f)", (double)s0.rss_kb / 1024,
		    (double)s1.rss_kb / 1024, per, perp);
	human_broker(&s1, &s2, 0, "");
	disconnect_all(0, N);
	return O.strict && (G.pong != N) ? 3 : 0;
}

static int run_subs(void)
{
	uint32_t N = O.npub;
	alloc_conns(N);
	for (uint32_t i = 0; i < N; i++) {
		G.conns[i].role = R_SUB;
		G.conns[i].idx = i;
	}
	sample_t s0, s1;
	uint64_t pss0 = 0, pss1 = 0;
	take_sample(&s0, &pss0);
	G.setup = 1;
	need_up(0, N, "subscribers on");
	G.setup = 0;
	take_sample(&s1, &pss1);
	uint64_t total = 0;
	for (uint32_t i = 0; i < N; i++)
		total += G.conns[i].subs_done;
	double el = (double)(s1.t - s0.t) / 1e9;
	double per = total ? ((double)s1.rss_kb - (double)s0.rss_kb) * 1024 / (double)total : 0;
	j_begin();
	ju("clients", N);
	ju("filters", total);
	jf("window_s", el, 4);
	jf("sub_rate", (double)total / el, 1);
	ju("rss_kb_before", s0.rss_kb);
	ju("rss_kb_after", s1.rss_kb);
	jf("rss_per_sub", per, 1);
	j_broker(&s0, &s1, pss1, (double)total);
	j_end();
	say("subs: %" PRIu64 " subscriptions on %u clients in %.2f s = %.0f/s; %.0f bytes RSS each", total, N, el,
	    (double)total / el, per);
	human_broker(&s0, &s1, (double)total, "subscriptions");
	uint64_t end = now_ns() + (uint64_t)(O.duration * 1e9);
	for (uint64_t now; (now = now_ns()) < end && !g_sig;) {
		keepalive_sweep(now);
		loop_once(50);
	}
	disconnect_all(0, N);
	return 0;
}

static int run_retain(void)
{
	uint64_t total = O.count;
	uint32_t C = O.npub;
	if (total < C)
		die(1, "retain: --count (topics in all) must be at least the number of clients");
	G.P = C;
	G.S = O.fetch ? 1 : 0;
	O.retain = 1;
	alloc_conns(C + 1);
	G.pubs = xcalloc(C, sizeof *G.pubs);
	G.ready = xcalloc(C + 1, sizeof *G.ready);
	conn_t *sc = &G.conns[0];
	sc->role = R_SUB;
	sc->idx = 0;
	uint32_t base = 0;
	O.count = 0;
	for (uint32_t i = 0; i < C; i++) {
		conn_t *c = &G.conns[1 + i];
		c->role = R_PUB;
		c->idx = i;
		pub_init(&G.pubs[i], c, i);
		uint64_t n = total / C + (i < total % C ? 1 : 0);
		G.pubs[i].tbase = base;
		G.pubs[i].tmod = (uint32_t)n;
		G.pubs[i].limit = n;
		base += (uint32_t)n;
	}
	sample_t s0, s1, f0, f1;
	uint64_t pss0 = 0, pss1 = 0;
	G.setup = 1;
	need_up(1, 1 + C, "publishers on");
	G.setup = 0;
	take_sample(&s0, &pss0);
	G.sending = 1;
	for (uint32_t i = 0; i < C; i++)
		mark_ready(&G.pubs[i]);
	uint64_t tl = now_ns(), seen = 0;
	while (!g_sig) {
		loop_once(10);
		uint64_t now = now_ns();
		if (G.sent + G.acked != seen) {
			seen = G.sent + G.acked;
			tl = now;
		}
		bool busy = G.sent < total || (O.qos && G.acked < G.sent);
		for (uint32_t i = 0; i < C && !busy; i++)
			busy = buf_left(&G.conns[1 + i].out) != 0;
		if (!busy)
			break;
		if ((double)(now - tl) > 10e9 || G.disconnects)
			break;
	}
	if (!O.qos) {
		/* a PINGRESP proves that everything before it was read */
		G.pong = 0;
		for (uint32_t i = 0; i < C; i++) {
			G.conns[1 + i].ping_out = 1;
			send_simple(&G.conns[1 + i], 0xc0);
		}
		uint64_t w = now_ns();
		while (G.pong < C && now_ns() - w < 30000000000ull)
			loop_once(10);
	}
	take_sample(&s1, &pss1);
	double el = (double)(s1.t - s0.t) / 1e9, fel = 0;
	double per = total ? ((double)s1.rss_kb - (double)s0.rss_kb) * 1024 / (double)total : 0;
	memset(&f0, 0, sizeof f0);
	memset(&f1, 0, sizeof f1);
	uint64_t got = 0;
	if (O.fetch) {
		G.nstreams = C;
		G.streams = xcalloc(C, sizeof *G.streams);
		G.smap = xmalloc(C * sizeof *G.smap);
		for (uint32_t i = 0; i < C; i++)
			G.smap[i] = (int32_t)i;
		take_sample(&f0, NULL);
		G.setup = 1;
		need_up(0, 1, "subscriber on");
		G.setup = 0;
		uint64_t last = now_ns(), gs = 0;
		while (G.uniq < total && !g_sig) {
			loop_once(10);
			uint64_t now = now_ns();
			if (G.rx != gs) {
				gs = G.rx;
				last = now;
			}
			if ((double)(now - last) > O.drain * 1e9 || G.disconnects)
				break;
		}
		take_sample(&f1, NULL);
		fel = (double)((G.uniq < total ? last : f1.t) - f0.t) / 1e9;
		got = G.uniq;
	}
	if (O.clear) {
		/* remove the retained messages again */
		unsigned save = O.size;
		O.size = 0;
		for (uint32_t i = 0; i < C; i++) {
			pub_t *p = &G.pubs[i];
			for (uint32_t t = 0; t < p->tmod; t++) {
				char topic[1024];
				uint8_t b[8];
				expand(topic, sizeof topic, O.topic, i, p->tbase + t, 0);
				size_t l = strlen(topic);
				uint32_t rl = (uint32_t)(2 + l + (O.ver == 5 ? 1 : 0));
				b[0] = 0x31;
				unsigned n = 1 + put_varint(b + 1, rl);
				wr16(b + n, (unsigned)l);
				put_bytes(&p->c->out, b, n + 2);
				put_bytes(&p->c->out, topic, l);
				if (O.ver == 5)
					put_u8(&p->c->out, 0);
				if (buf_left(&p->c->out) > OUT_HI) {
					want_flush(p->c);
					while (p->c->fd >= 0 && buf_left(&p->c->out) > OUT_HI / 2)
						loop_once(10);
				}
			}
			want_flush(p->c);
		}
		O.size = save;
		G.pong = 0;
		for (uint32_t i = 0; i < C; i++) {
			G.conns[1 + i].ping_out = 1;
			send_simple(&G.conns[1 + i], 0xc0);
		}
		uint64_t w = now_ns();
		while (G.pong < C && now_ns() - w < 30000000000ull)
			loop_once(10);
	}
	j_begin();
	ju("qos", (uint64_t)O.qos);
	ju("size", O.size);
	ju("clients", C);
	ju("topics", total);
	ju("sent", G.sent);
	ju("acked", G.acked);
	jf("window_s", el, 4);
	jf("store_rate", (double)G.sent / el, 1);
	ju("rss_kb_before", s0.rss_kb);
	ju("rss_kb_after", s1.rss_kb);
	jf("rss_per_topic", per, 1);
	j_broker(&s0, &s1, pss1, (double)G.sent);
	ju("fetched", got);
	ju("dup", G.dup);
	ju("corrupt", G.corrupt);
	ju("stale", G.stale);
	ju("retain_flag", G.retained_rx);
	ju("disconnects", G.disconnects);
	jf("fetch_s", fel, 4);
	jf("fetch_rate", fel > 0 ? (double)got / fel : 0, 1);
	jf("fetch_cpu_s", f1.user - f0.user + f1.sys - f0.sys, 3);
	j_end();
	say("retain: %" PRIu64 " topics stored in %.2f s = %.0f/s, %.0f bytes RSS each", total, el, (double)G.sent / el, per);
	if (O.fetch)
		say("fetched %" PRIu64 " of %" PRIu64 " in %.2f s = %.0f/s", got, total, fel, fel > 0 ? (double)got / fel : 0);
	human_broker(&s0, &s1, (double)G.sent, "messages");
	disconnect_all(0, G.nconns);
	return O.strict && (G.disconnects || (O.fetch && got != total)) ? 3 : 0;
}

/* offline queue: fill (subscribe, leave, publish) and drain (come back, count) */
static int run_offline(void)
{
	bool drain = !strcmp(O.stage, "drain");
	G.P = O.npub;
	G.S = O.nsub;
	O.persistent = 1;
	uint64_t *acked_below = NULL, *st_sent = NULL, acked_total = 0;
	if (drain) {
		FILE *f = fopen(O.state, "r");
		unsigned tag, P, S, size;
		if (!f || fscanf(f, "mqttload-offline 1 %x %u %u %u", &tag, &P, &S, &size) != 4)
			die(1, "cannot read the state file '%s' (written by --stage fill)", O.state);
		if (!P || P > MAX_CONNS || !S || S > MAX_CONNS || size > (64u << 20))
			die(1, "state file '%s' is damaged", O.state);
		G.P = P;
		G.S = S;
		G.tag = tag;
		O.size = size;
		acked_below = xcalloc(P, sizeof *acked_below);
		st_sent = xcalloc(P, sizeof *st_sent);
		for (uint32_t i = 0; i < P; i++) {
			uint64_t a;
			if (fscanf(f, "%" SCNu64 " %" SCNu64 " %" SCNu64, &st_sent[i], &acked_below[i], &a) != 3)
				die(1, "state file '%s' is damaged", O.state);
			acked_total += a;
		}
		fclose(f);
	}
	alloc_conns(G.P + G.S);
	G.pubs = xcalloc(G.P, sizeof *G.pubs);
	G.ready = xcalloc(G.P + 1, sizeof *G.ready);
	for (uint32_t i = 0; i < G.S; i++) {
		G.conns[i].role = R_SUB;
		G.conns[i].idx = i;
		G.conns[i].clean = 0;
	}
	for (uint32_t i = 0; i < G.P; i++) {
		conn_t *c = &G.conns[G.S + i];
		c->role = R_PUB;
		c->idx = i;
		c->clean = 1;
		pub_init(&G.pubs[i], c, i);
	}
	build_streams();
	sample_t s0, s1;
	uint64_t pss = 0;
	if (!drain) {
		G.setup = 1;
		need_up(0, G.S, "subscribers on");
		disconnect_all(0, G.S);
		G.failed = 0;
		need_up(G.S, G.S + G.P, "publishers on");
		G.setup = 0;
		G.sess_present = 0;
		take_sample(&s0, NULL);
		G.sending = 1;
		O.credit = 0;
		for (uint32_t i = 0; i < G.P; i++)
			mark_ready(&G.pubs[i]);
		uint64_t total = O.count * G.P, last = now_ns(), seen = 0;
		while (!g_sig) {
			loop_once(10);
			uint64_t now = now_ns();
			if (G.acked + G.sent != seen) {
				seen = G.acked + G.sent;
				last = now;
			}
			if (G.sent >= total && (!O.qos || G.acked >= G.sent))
				break;
			if ((double)(now - last) > O.drain * 1e9 || G.disconnects >= G.P)
				break;
		}
		take_sample(&s1, &pss);
		FILE *f = fopen(O.state, "w");
		if (!f)
			die(2, "cannot write the state file '%s': %s", O.state, strerror(errno));
		fprintf(f, "mqttload-offline 1 %08x %u %u %u\n", G.tag, G.P, G.S, O.size);
		for (uint32_t i = 0; i < G.P; i++) {
			pub_t *p = &G.pubs[i];
			uint64_t lo = p->sent;
			for (uint32_t s = 0; s < p->nslot; s++)
				if (p->slot[s].st && p->slot[s].seq < lo)
					lo = p->slot[s].seq;
			fprintf(f, "%" PRIu64 " %" PRIu64 " %" PRIu64 "\n", p->sent, lo, p->acked);
		}
		fclose(f);
		double el = (double)(s1.t - s0.t) / 1e9;
		j_begin();
		js("stage", "fill");
		ju("qos", (uint64_t)O.qos);
		ju("size", O.size);
		ju("pubs", G.P);
		ju("subs", G.S);
		jf("window_s", el, 4);
		ju("sent", G.sent);
		ju("acked", G.acked);
		ju("nack", G.nack);
		ju("disconnects", G.disconnects);
		jf("ack_rate", (double)G.acked / el, 1);
		j_broker(&s0, &s1, pss, (double)G.acked);
		j_end();
		say("offline fill: %" PRIu64 " sent, %" PRIu64 " acked in %.2f s = %.0f/s", G.sent, G.acked, el,
		    (double)G.acked / el);
		human_broker(&s0, &s1, (double)G.acked, "messages");
		disconnect_all(0, G.nconns);
		return 0;
	}
	take_sample(&s0, NULL);
	G.setup = 1;
	need_up(0, G.S, "subscribers on");
	G.setup = 0;
	uint64_t exp_acked = 0;
	for (uint32_t i = 0; i < G.P; i++) {
		exp_acked += acked_below[i] * G.pubs[i].fan;
		G.pubs[i].sent = st_sent[i];
	}
	uint64_t last = now_ns(), seen = 0, tend = 0;
	while (!g_sig) {
		loop_once(10);
		uint64_t now = now_ns();
		if (G.rx != seen) {
			seen = G.rx;
			last = tend = now;
		}
		if (G.uniq >= expected_total() && (double)(now - last) > 0.5e9)
			break;
		if ((double)(now - last) > O.drain * 1e9 || G.disconnects >= G.S)
			break;
	}
	take_sample(&s1, &pss);
	/* how many of the acknowledged ones are missing */
	uint64_t lost = 0;
	for (uint32_t s = 0; s < G.S; s++)
		for (uint32_t p = 0; p < G.P; p++) {
			int32_t si = G.smap ? G.smap[(size_t)s * G.P + p] : s == p ? (int32_t)p : -1;
			if (si < 0)
				continue;
			stream_t *st = &G.streams[si];
			uint64_t ab = acked_below[p];
			if (st->next < ab)
				lost += ab - st->next;
			for (uint32_t r = 0; r < st->nr; r++) {
				uint64_t lo = st->r[r].lo, hi = st->r[r].hi;
				if (lo >= ab)
					continue;
				lost += (hi < ab ? hi : ab) - lo;
			}
		}
	double el = tend > s0.t ? (double)(tend - s0.t) / 1e9 : 0;
	j_begin();
	js("stage", "drain");
	ju("subs", G.S);
	ju("session_present", G.sess_present);
	ju("acked", acked_total);
	ju("expected_acked", exp_acked);
	ju("received", G.rx);
	ju("unique", G.uniq);
	ju("lost_acked", lost);
	ju("dup", G.dup);
	ju("out_of_order", G.ooo);
	ju("stale", G.stale);
	ju("corrupt", G.corrupt);
	jf("window_s", el, 4);
	jf("recv_rate", el > 0 ? (double)G.uniq / el : 0, 1);
	j_broker(&s0, &s1, pss, (double)G.uniq);
	j_end();
	free(acked_below);
	free(st_sent);
	say("offline drain: session present %" PRIu64 " of %u; %" PRIu64 " unique of %" PRIu64 " acknowledged; LOST %" PRIu64
	    ", dup %" PRIu64 ", out of order %" PRIu64 "; %.0f/s",
	    G.sess_present, G.S, G.uniq, exp_acked, lost, G.dup, G.ooo, el > 0 ? (double)G.uniq / el : 0);
	human_broker(&s0, &s1, (double)G.uniq, "deliveries");
	disconnect_all(0, G.nconns);
	return O.strict && lost ? 3 : 0;
}

/* ------------------------------------------------------------------ setup */

static int new_sess_cb(SSL *s, SSL_SESSION *sess)
{
	(void)s;
	if (G.sess)
		SSL_SESSION_free(G.sess);
	G.sess = sess;
	return 1; /* we keep the reference */
}

static void tls_init(void)
{
	G.ctx = SSL_CTX_new(TLS_client_method());
	if (!G.ctx)
		die(2, "cannot create a TLS context");
	SSL_CTX_set_mode(G.ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	if (O.sc == SC_IDLE || O.sc == SC_CONN)
		SSL_CTX_set_mode(G.ctx, SSL_MODE_RELEASE_BUFFERS);
	else {
		SSL_CTX_set_read_ahead(G.ctx, 1);
		SSL_CTX_set_default_read_buffer_len(G.ctx, 65536);
	}
	if (O.tlsver) {
		int v = O.tlsver == 12 ? TLS1_2_VERSION : TLS1_3_VERSION;
		SSL_CTX_set_min_proto_version(G.ctx, v);
		SSL_CTX_set_max_proto_version(G.ctx, v);
	}
	if (O.insecure)
		SSL_CTX_set_verify(G.ctx, SSL_VERIFY_NONE, NULL);
	else {
		SSL_CTX_set_verify(G.ctx, SSL_VERIFY_PEER, NULL);
		if (O.cafile) {
			if (SSL_CTX_load_verify_locations(G.ctx, O.cafile, NULL) != 1)
				die(1, "cannot load --cafile '%s'", O.cafile);
		} else if (SSL_CTX_set_default_verify_paths(G.ctx) != 1)
			die(1, "no CA file");
	}
	if (O.cert) {
		if (SSL_CTX_use_certificate_chain_file(G.ctx, O.cert) != 1)
			die(1, "cannot load --cert '%s'", O.cert);
		const char *k = O.key ? O.key : O.cert;
		if (SSL_CTX_use_PrivateKey_file(G.ctx, k, SSL_FILETYPE_PEM) != 1 || SSL_CTX_check_private_key(G.ctx) != 1)
			die(1, "cannot use --key '%s' (unreadable, or not the key of the certificate)", k);
	}
	if (O.resume) {
		SSL_CTX_set_session_cache_mode(G.ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
		SSL_CTX_sess_set_new_cb(G.ctx, new_sess_cb);
	} else
		SSL_CTX_set_session_cache_mode(G.ctx, SSL_SESS_CACHE_OFF);
}

static void usage(FILE *f)
{
	fputs(
"mqttload " MQTTLOAD_VERSION " - MQTT 3.1.1 / 5.0 load generator\n"
"usage: mqttload SCENARIO [options]\n"
"\n"
"scenarios\n"
"  pairs      N publishers, N subscribers, one to one            (-n N)\n"
"  fanin      N publishers -> 1 subscriber                       (-n N)\n"
"  fanout     1 publisher -> N subscribers                       (-n N)\n"
"  wildcard   N publishers on bench/%i/%t -> M subscribers of bench/+/+  (-n N -m M)\n"
"  shared     N publishers -> M subscribers in --groups G shared groups\n"
"  flow       N publishers, M subscribers, any --topic and --filter; -m 0: publish only\n"
"  latency    pairs at a fixed open-loop --rate (default 1000/s); any of the above takes --rate\n"
"  conn       connect, CONNACK, disconnect, again; --inflight K at a time, -d seconds or -n total\n"
"  idle       open N connections, hold for -d seconds, ping all, count the living\n"
"  subs       N clients with --topics T filters each (then hold for -d seconds)\n"
"  retain     --count T retained messages on T topics from N clients; --fetch reads all back\n"
"  offline    --stage fill | drain, --state FILE: persistent session queue, before and after a crash\n"
"\n"
"connection\n"
"  -h, --host H          numeric address (127.0.0.1); only loopback unless --allow-remote\n"
"  -p, --port P          (1883)          -V, --proto 4|5      (4)\n"
"  -u, --user T  -P, --pass T   templates     --prefix S       client id prefix (ml<pid>)\n"
"  --keepalive S         (60, 0 = none)  --persistent         clean start 0\n"
"  --expiry S            v5 session expiry of persistent sessions (3600)\n"
"  --recv-max N          v5 receive maximum in CONNECT\n"
"  --inflight K          connections being opened at a time (64)\n"
"  --src N               rotate N source addresses 127.0.0.1 .. (1; more than 28000 connections need it)\n"
"  --connect-timeout S   without progress (20)      --rst  close with RST (no TIME_WAIT)\n"
"tls\n"
"  --tls                 on; --cafile F, --cert F, --key F, --insecure, --sni NAME (localhost; also the name verified)\n"
"  --tls-version 1.2|1.3, --resume (conn: reuse a session ticket)\n"
"load\n"
"  -n N  -m M            publishers / clients, subscribers\n"
"  -q, --qos Q           publish QoS (0)     --sub-qos Q  subscription QoS (same)\n"
"  -s, --size B          payload bytes, at least 20 (64)      --retain\n"
"  -t, --topic T         template; %i client, %t topic number, %g group\n"
"  -f, --filter T        subscriber's template (without $share: see --groups)\n"
"  --groups G            subscribe as $share/g<i mod G>/FILTER\n"
"  --topics T            each publisher cycles through T topics (%t)\n"
"  --window W            QoS 1/2 in-flight messages per publisher (20)\n"
"  --credit C            sent but not yet delivered messages per publisher (100; 0 = unlimited)\n"
"  --batch B             at most B messages in one write (0 = no limit)\n"
"  --max-nap US          closed loop: nap up to US between rounds while the broker has a full window (1000)\n"
"  --alias               v5 topic alias on the publisher side\n"
"  --user-props N        v5 so many user properties in every PUBLISH (0)\n"
"  --rate R              messages/s in all, open loop, latency counts from the intended time\n"
"  --no-spin             sleep between ticks in open loop (default: poll)\n"
"  --warmup S            (1)   -d, --duration S  (5)   --count N  messages per publisher instead of a duration\n"
"  --drain S             wait this long without progress for the rest (3); --max-drain S in all (30)\n"
"  --sub-batch B         subs: filters in one SUBSCRIBE (100)     --clear  retain: delete them at the end\n"
"report\n"
"  --pid P[,P..]         broker process(es); children are included\n"
"  --label S, --json (JSON only), --verify (compare topic and all payload bytes), --tag HEX\n"
"  --strict              exit 3 if anything was lost, duplicated, reordered, refused\n"
"exit: 0 done, 1 usage, 2 cannot run, 3 --strict found a fault\n", f);
}

static double num(const char *opt, const char *s, double lo, double hi)
{
	char *e;
	errno = 0;
	double v = strtod(s, &e);
	if (e == s || *e || errno || !(v >= lo && v <= hi))
		die(1, "%s %s: must be a number from %g to %g", opt, s, lo, hi);
	return v;
}

static unsigned unum(const char *opt, const char *s, double lo, double hi)
{
	double v = num(opt, s, lo, hi);
	if (v != (double)(uint64_t)v)
		die(1, "%s %s: must be a whole number", opt, s);
	return (unsigned)v;
}

static void on_sig(int s)
{
	(void)s;
	g_sig++;
}

enum { L_ = 256, L_PREFIX, L_KEEP, L_PERS, L_EXP, L_RMAX, L_INFL, L_SRC, L_CTO, L_RST, L_TLS, L_CA, L_CERT, L_KEY,
       L_INS, L_SNI, L_TV, L_RESUME, L_SUBQOS, L_RETAIN, L_GROUPS, L_TOPICS, L_WINDOW, L_CREDIT, L_BATCH, L_ALIAS, L_USERPROPS,
       L_RATE, L_NOSPIN, L_WARM, L_COUNT, L_DRAIN, L_MAXDRAIN, L_SUBB, L_CLEAR, L_PID, L_LABEL, L_JSON, L_VERIFY, L_TAG,
       L_STRICT, L_NAP, L_REMOTE, L_FETCH, L_STAGE, L_STATE, L_HELP, L_VERSION };

static const struct option LO[] = {
	{ "host", 1, 0, 'h' }, { "port", 1, 0, 'p' }, { "proto", 1, 0, 'V' }, { "user", 1, 0, 'u' },
	{ "pass", 1, 0, 'P' }, { "qos", 1, 0, 'q' }, { "size", 1, 0, 's' }, { "topic", 1, 0, 't' },
	{ "filter", 1, 0, 'f' }, { "duration", 1, 0, 'd' }, { "prefix", 1, 0, L_PREFIX },
	{ "keepalive", 1, 0, L_KEEP }, { "persistent", 0, 0, L_PERS }, { "expiry", 1, 0, L_EXP },
	{ "recv-max", 1, 0, L_RMAX }, { "inflight", 1, 0, L_INFL }, { "src", 1, 0, L_SRC },
	{ "connect-timeout", 1, 0, L_CTO }, { "rst", 0, 0, L_RST }, { "tls", 0, 0, L_TLS },
	{ "cafile", 1, 0, L_CA }, { "cert", 1, 0, L_CERT }, { "key", 1, 0, L_KEY },
	{ "insecure", 0, 0, L_INS }, { "sni", 1, 0, L_SNI }, { "tls-version", 1, 0, L_TV },
	{ "resume", 0, 0, L_RESUME }, { "sub-qos", 1, 0, L_SUBQOS }, { "retain", 0, 0, L_RETAIN },
	{ "groups", 1, 0, L_GROUPS }, { "topics", 1, 0, L_TOPICS }, { "window", 1, 0, L_WINDOW },
	{ "credit", 1, 0, L_CREDIT }, { "batch", 1, 0, L_BATCH }, { "alias", 0, 0, L_ALIAS }, { "user-props", 1, 0, L_USERPROPS },
	{ "rate", 1, 0, L_RATE }, { "no-spin", 0, 0, L_NOSPIN }, { "warmup", 1, 0, L_WARM },
	{ "count", 1, 0, L_COUNT }, { "drain", 1, 0, L_DRAIN }, { "max-drain", 1, 0, L_MAXDRAIN }, { "sub-batch", 1, 0, L_SUBB },
	{ "clear", 0, 0, L_CLEAR }, { "pid", 1, 0, L_PID }, { "label", 1, 0, L_LABEL },
	{ "json", 0, 0, L_JSON }, { "verify", 0, 0, L_VERIFY }, { "tag", 1, 0, L_TAG },
	{ "strict", 0, 0, L_STRICT }, { "max-nap", 1, 0, L_NAP }, { "allow-remote", 0, 0, L_REMOTE }, { "fetch", 0, 0, L_FETCH },
	{ "stage", 1, 0, L_STAGE }, { "state", 1, 0, L_STATE }, { "help", 0, 0, L_HELP },
	{ "version", 0, 0, L_VERSION }, { 0, 0, 0, 0 }
};

static void parse(int argc, char **argv)
{
	static const struct { const char *n; enum scen s; } SC[] = {
		{ "pairs", SC_PAIRS }, { "fanin", SC_FANIN }, { "fanout", SC_FANOUT }, { "flow", SC_FLOW },
		{ "wildcard", SC_WILD }, { "shared", SC_SHARED }, { "latency", SC_PAIRS }, { "conn", SC_CONN },
		{ "idle", SC_IDLE }, { "retain", SC_RETAIN }, { "subs", SC_SUBS }, { "offline", SC_OFFLINE } };
	if (argc < 2) {
		usage(stderr);
		exit(1);
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "help")) {
		usage(stdout);
		exit(0);
	}
	if (!strcmp(argv[1], "--version")) {
		puts("mqttload " MQTTLOAD_VERSION);
		exit(0);
	}
	for (size_t i = 0; i < sizeof SC / sizeof *SC; i++)
		if (!strcmp(argv[1], SC[i].n)) {
			O.sc = SC[i].s;
			O.scname = SC[i].n;
		}
	if (O.sc == SC_NONE)
		die(1, "unknown scenario '%s' (see --help)", argv[1]);
	O.host = "127.0.0.1";
	O.port = 1883;
	O.ver = 4;
	O.subqos = -1;
	O.size = 64;
	O.npub = 1;
	O.nsub = 1;
	O.topics = 1;
	O.window = 20;
	O.credit = 100;
	O.inflight = 64;
	O.srcs = 1;
	O.keepalive = 60;
	O.expiry = 3600;
	O.subbatch = 100;
	O.warmup = 1;
	O.duration = 5;
	O.drain = 3;
	O.maxdrain = 30;
	O.ctimeout = 20;
	O.spin = 1;
	O.maxnap = 1000;
	bool warm_set = false;
	optind = 2;
	int c;
	while ((c = getopt_long(argc, argv, "h:p:V:u:P:n:m:q:s:t:f:d:", LO, NULL)) != -1) {
		const char *a = optarg;
		switch (c) {
		case 'h': O.host = a; break;
		case 'p': O.port = (int)unum("--port", a, 1, 65535); break;
		case 'V': O.ver = (int)unum("--proto", a, 4, 5); break;
		case 'u': O.user = a; break;
		case 'P': O.pass = a; break;
		case 'n': O.npub = unum("-n", a, 1, 1e9); O.n_set = 1; break;
		case 'm': O.nsub = unum("-m", a, 0, MAX_CONNS); O.m_set = 1; break;
		case 'q': O.qos = (int)unum("--qos", a, 0, 2); break;
		case 's': O.size = unum("--size", a, HDR_LEN, 64 << 20); break;
		case 't': O.topic = a; break;
		case 'f': O.filter = a; break;
		case 'd': O.duration = num("--duration", a, 0, 86400); break;
		case L_PREFIX: O.prefix = a; break;
		case L_KEEP: O.keepalive = unum("--keepalive", a, 0, 65535); break;
		case L_PERS: O.persistent = 1; break;
		case L_EXP: O.expiry = unum("--expiry", a, 0, 4294967295.0); break;
		case L_RMAX: O.recvmax = unum("--recv-max", a, 1, 65535); break;
		case L_INFL: O.inflight = unum("--inflight", a, 1, 100000); break;
		case L_SRC: O.srcs = unum("--src", a, 1, 65000); break;
		case L_CTO: O.ctimeout = num("--connect-timeout", a, 0.1, 3600); break;
		case L_RST: O.rst = 1; break;
		case L_TLS: O.tls = 1; break;
		case L_CA: O.cafile = a; break;
		case L_CERT: O.cert = a; break;
		case L_KEY: O.key = a; break;
		case L_INS: O.insecure = 1; break;
		case L_SNI: O.sni = a; break;
		case L_TV:
			if (!strcmp(a, "1.2")) O.tlsver = 12;
			else if (!strcmp(a, "1.3")) O.tlsver = 13;
			else die(1, "--tls-version must be 1.2 or 1.3");
			break;
		case L_RESUME: O.resume = 1; break;
		case L_SUBQOS: O.subqos = (int)unum("--sub-qos", a, 0, 2); break;
		case L_RETAIN: O.retain = 1; break;
		case L_GROUPS: O.groups = unum("--groups", a, 1, 100000); break;
		case L_TOPICS: O.topics = unum("--topics", a, 1, 100000000); break;
		case L_WINDOW: O.window = unum("--window", a, 1, 65535); break;
		case L_CREDIT: O.credit = unum("--credit", a, 0, 100000000); break;
		case L_BATCH: O.batch = unum("--batch", a, 0, 1000000); break;
		case L_ALIAS: O.alias = 1; break;
		case L_USERPROPS: O.userprops = unum("--user-props", optarg, 0, MAX_USER_PROPS); break;
		case L_RATE: O.rate = num("--rate", a, 0.001, 1e8); break;
		case L_NOSPIN: O.spin = 0; break;
		case L_WARM: O.warmup = num("--warmup", a, 0, 3600); warm_set = true; break;
		case L_COUNT: O.count = (uint64_t)num("--count", a, 1, 4e9); break;
		case L_DRAIN: O.drain = num("--drain", a, 0, 3600); break;
		case L_MAXDRAIN: O.maxdrain = num("--max-drain", a, 0, 3600); break;
		case L_SUBB: O.subbatch = unum("--sub-batch", a, 1, 10000); break;
		case L_CLEAR: O.clear = 1; break;
		case L_FETCH: O.fetch = 1; break;
		case L_STAGE: O.stage = a; break;
		case L_STATE: O.state = a; break;
		case L_PID: {
			char *dup = strdup(a), *sv = NULL;
			if (!dup)
				die(2, "out of memory");
			for (char *t = strtok_r(dup, ",", &sv); t; t = strtok_r(NULL, ",", &sv)) {
				if (O.npids == MAX_PIDS)
					die(1, "--pid: at most %d", MAX_PIDS);
				O.pids[O.npids++] = (pid_t)unum("--pid", t, 1, 4194304);
			}
			free(dup);
			break;
		}
		case L_LABEL: O.label = a; break;
		case L_JSON: O.json_only = 1; g_quiet = 1; break;
		case L_VERIFY: O.verify = 1; break;
		case L_TAG: {
			char *e;
			unsigned long v = strtoul(a, &e, 16);
			if (e == a || *e || v > 0xffffffffu)
				die(1, "--tag %s: must be up to 8 hex digits", a);
			O.tag = (uint32_t)v;
			O.tag_set = 1;
			break;
		}
		case L_STRICT: O.strict = 1; break;
		case L_NAP: O.maxnap = unum("--max-nap", a, 0, 100000); break;
		case L_REMOTE: O.allow_remote = 1; break;
		case L_HELP: usage(stdout); exit(0);
		case L_VERSION: puts("mqttload " MQTTLOAD_VERSION); exit(0);
		default:
			fputs("mqttload: see --help\n", stderr);
			exit(1);
		}
	}
	if (optind < argc)
		die(1, "unexpected argument '%s'", argv[optind]);
	if (O.subqos < 0)
		O.subqos = O.qos;
	if (O.count && !warm_set)
		O.warmup = 0;
	if (O.ver == 4 && O.pass && !O.user)
		die(1, "MQTT 3.1.1 needs --user with --pass");
	if ((O.cafile || O.cert || O.insecure || O.resume || O.tlsver || O.sni) && !O.tls)
		die(1, "TLS options need --tls");
	if (O.resume && O.sc != SC_CONN)
		die(1, "--resume belongs to the conn scenario");
	if (!O.prefix) {
		static char b[32];
		snprintf(b, sizeof b, "ml%d", (int)getpid());
		O.prefix = b;
	}
	if (strlen(O.prefix) > 100)
		die(1, "--prefix is too long");
	if (O.userprops && O.ver != 5)
		die(1, "--user-props needs -V 5");
	if (O.alias && O.topics > 1)
		die(1, "--alias works with one topic per publisher");
	const char *lat = O.scname;
	if (!strcmp(lat, "latency") && O.rate <= 0)
		O.rate = 1000;
	switch (O.sc) {
	case SC_PAIRS:
		O.nsub = O.npub;
		if (!O.topic) O.topic = "bench/%i";
		if (!O.filter) O.filter = O.topics > 1 ? "bench/%i/+" : "bench/%i";
		if (O.topics > 1 && !strcmp(O.topic, "bench/%i")) O.topic = "bench/%i/%t";
		break;
	case SC_FANIN:
		O.nsub = 1;
		if (!O.topic) O.topic = "bench/in";
		if (!O.filter) O.filter = O.topic;
		break;
	case SC_FANOUT:
		O.nsub = O.npub;
		O.npub = 1;
		if (!O.topic) O.topic = "bench/out";
		if (!O.filter) O.filter = O.topic;
		break;
	case SC_WILD:
		if (!O.topic) O.topic = "bench/%i/%t";
		if (!O.filter) O.filter = "bench/+/+";
		break;
	case SC_SHARED:
		if (!O.groups) O.groups = 1;
		if (!O.topic) O.topic = "bench/%i";
		if (!O.filter) O.filter = "bench/+";
		break;
	case SC_FLOW:
		if (!O.topic) O.topic = "bench/%i";
		if (!O.filter) O.filter = "bench/#";
		break;
	case SC_RETAIN:
		if (!O.topic) O.topic = "bench/r/%t";
		if (!O.filter) O.filter = "bench/r/#";
		if (!O.count) O.count = 100000;
		if (O.count > 100000000) die(1, "retain: --count is at most 100000000");
		break;
	case SC_SUBS:
		if (!O.filter) O.filter = "subs/%i/%t";
		break;
	case SC_OFFLINE:
		if (!O.stage || (strcmp(O.stage, "fill") && strcmp(O.stage, "drain")))
			die(1, "offline needs --stage fill or --stage drain");
		if (!O.state)
			die(1, "offline needs --state FILE");
		if (!O.m_set) O.nsub = O.npub;
		if (!O.topic) O.topic = "offline/%i";
		if (!O.filter) O.filter = O.npub == O.nsub ? "offline/%i" : "offline/+";
		if (!O.count) O.count = 10000;
		if (!O.qos && !strcmp(O.stage, "fill")) { O.qos = 1; O.subqos = 1; }
		if (!strcmp(O.prefix, "ml") || !strncmp(O.prefix, "ml", 2)) {
			static char b[] = "mloff";
			O.prefix = b; /* both stages must use the same client ids */
		}
		break;
	default: break;
	}
	if (O.groups && O.ver == 4)
		say("note: $share needs MQTT 5 on some brokers (-V 5)");
	if (O.topics > 1 && O.topic && !strstr(O.topic, "%t") && O.sc != SC_SUBS)
		die(1, "--topics needs %%t in --topic");
	if (O.rate > 0 && O.sc > SC_WILD)
		die(1, "--rate belongs to the message scenarios");
}

static void resolve(void)
{
	struct sockaddr_in *a4 = (struct sockaddr_in *)&G.addr;
	struct sockaddr_in6 *a6 = (struct sockaddr_in6 *)&G.addr;
	const char *h = !strcmp(O.host, "localhost") ? "127.0.0.1" : O.host;
	bool loop;
	if (inet_pton(AF_INET, h, &a4->sin_addr) == 1) {
		a4->sin_family = AF_INET;
		a4->sin_port = htons((uint16_t)O.port);
		G.addrlen = sizeof *a4;
		loop = (ntohl(a4->sin_addr.s_addr) >> 24) == 127;
		G.is_v4_loop = loop;
	} else if (inet_pton(AF_INET6, h, &a6->sin6_addr) == 1) {
		a6->sin6_family = AF_INET6;
		a6->sin6_port = htons((uint16_t)O.port);
		G.addrlen = sizeof *a6;
		loop = IN6_IS_ADDR_LOOPBACK(&a6->sin6_addr);
	} else
		die(1, "--host %s: give a numeric address", O.host);
	if (!loop && !O.allow_remote)
		die(1, "--host %s is not a loopback address (use --allow-remote only on hosts that you may load)", O.host);
	if (O.srcs > 1 && !G.is_v4_loop)
		die(1, "--src works with a 127.x.x.x host");
}

int main(int argc, char **argv)
{
	parse(argc, argv);
	signal(SIGPIPE, SIG_IGN);
	struct sigaction sa = { .sa_handler = on_sig };
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	resolve();
	G.tag = O.tag_set ? O.tag : (uint32_t)(now_ns() * 2654435761u) ^ (uint32_t)getpid();
	for (int i = 0; i < O.npids; i++)
		if (kill(O.pids[i], 0) < 0 && errno == ESRCH)
			die(1, "--pid %d: no such process", (int)O.pids[i]);
	rbuf_cap = 512 * 1024;
	rbuf = xmalloc(rbuf_cap);
	if (O.tls)
		tls_init();
	G.ep = epoll_create1(EPOLL_CLOEXEC);
	if (G.ep < 0)
		die(2, "epoll_create1: %s", strerror(errno));
	switch (O.sc) {
	case SC_CONN: return run_conn();
	case SC_IDLE: return run_idle();
	case SC_SUBS: return run_subs();
	case SC_RETAIN: return run_retain();
	case SC_OFFLINE: return run_offline();
	default: return run_flow();
	}
}
