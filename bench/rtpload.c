/* Sends and takes RTP for the bench: as many callers as it is told, and phones that echo.
 *
 *   rtpload CALLER_PORT PHONE_PORT [echo]        both on 127.0.0.1; RTCP ports (+1) are bound and never read
 *   stdin:  add PORT     send 50 packets a second of G.711 u-law to this port from now on
 *           mark         forget the counts
 *           report       print the counts as one line of JSON
 *
 * A 20 ms frame is one constant level, and the levels of a stream go round in steps of one. So a frame that was lost or
 * repeated is seen behind a B2BUA that decodes and encodes again and writes RTP headers of its own; packets that were
 * lost on the way from it to here are seen in its sequence numbers.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { HEADER = 12, PAYLOAD = 160, PACKET = HEADER + PAYLOAD, BATCH = 64, SLOTS = 10, LEVELS = 16, STEP = 6, BASE = 0x80 };
enum { FRAME_US = 20000, SLOT_US = FRAME_US / SLOTS, LATE_US = 60000, STREAMS = 4096 };

struct heard { int known, level; uint16_t sequence; uint64_t time; };
struct counts { unsigned long packets, missing_packets, lost_frames, repeated_frames, late, strange; };
struct side { int socket; struct heard from[65536]; struct counts counts; };
struct stream { struct sockaddr_in to; uint16_t sequence; uint32_t timestamp; int level; };

static struct side caller, phone;
static struct stream streams[STREAMS];
static int stream_count;
static unsigned long sent, not_sent, behind_us;

static uint64_t now_us(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000u + t.tv_nsec / 1000;
}

static struct sockaddr_in address(int port) {
  return (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static int open_port(int port) {
  int size = 8 << 20, fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
  struct sockaddr_in at = address(port);
  if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size)) setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
  if (bind(fd, (void *)&at, sizeof at)) { perror("rtpload: bind"); exit(2); }
  return fd;
}

/* The level from the middle of a frame; -1 when it is none of ours (silence, or two frames mixed). */
static int level_of(const uint8_t *packet, int length) {
  int value = packet[HEADER + (length - HEADER) / 2] - BASE + STEP / 2;
  return value < 0 || value >= LEVELS * STEP ? -1 : value / STEP;
}

static void count(struct side *side, int port, const uint8_t *packet, int length, uint64_t now) {
  struct heard *last = &side->from[port];
  struct counts *c = &side->counts;
  uint16_t sequence = packet[2] << 8 | packet[3];
  int level;
  if (length < HEADER + PAYLOAD / 2 || (packet[1] & 0x7f)) { c->strange++; return; }
  level = level_of(packet, length);
  c->packets++;
  if (level < 0) c->strange++;
  if (last->known) {
    int gap = (int16_t)(sequence - last->sequence);
    if (gap > 1) c->missing_packets += gap - 1;
    if (now - last->time > LATE_US) c->late++;
    if (level >= 0 && last->level >= 0) {
      int step = (level - last->level + LEVELS) % LEVELS;
      if (step == 0) c->repeated_frames++;
      else c->lost_frames += step - 1;
    }
  }
  *last = (struct heard){1, level, sequence, now};
}

static void take(struct side *side, int echo) {
  static uint8_t data[BATCH][2048];
  struct sockaddr_in from[BATCH];
  struct iovec parts[BATCH];
  struct mmsghdr messages[BATCH];
  int received;
  do {
    for (int i = 0; i < BATCH; i++) {
      parts[i] = (struct iovec){data[i], sizeof data[i]};
      messages[i] = (struct mmsghdr){.msg_hdr = {.msg_name = &from[i], .msg_namelen = sizeof from[i], .msg_iov = &parts[i], .msg_iovlen = 1}};
    }
    received = recvmmsg(side->socket, messages, BATCH, MSG_DONTWAIT, NULL);
    uint64_t now = now_us();
    for (int i = 0; i < received; i++) {
      count(side, ntohs(from[i].sin_port), data[i], messages[i].msg_len, now);
      parts[i].iov_len = messages[i].msg_len;
    }
    for (int done = 0; echo && done < received;) {
      int n = sendmmsg(side->socket, messages + done, received - done, 0);
      done += n > 0 ? n : 1;
      if (n <= 0) not_sent++;
    }
  } while (received == BATCH);
}

static void send_slot(int slot) {
  static uint8_t data[BATCH][PACKET];
  struct iovec parts[BATCH];
  struct mmsghdr messages[BATCH];
  int filled = 0;
  for (int i = slot; i < stream_count; i += SLOTS) {
    struct stream *s = &streams[i];
    uint8_t *p = data[filled];
    uint32_t stamp = htonl(s->timestamp), source = htonl(0xb0000000u + i);
    p[0] = 0x80; p[1] = 0; p[2] = s->sequence >> 8; p[3] = s->sequence & 0xff;
    memcpy(p + 4, &stamp, 4);
    memcpy(p + 8, &source, 4);
    memset(p + HEADER, BASE + s->level * STEP, PAYLOAD);
    s->sequence++; s->timestamp += PAYLOAD; s->level = (s->level + 1) % LEVELS;
    parts[filled] = (struct iovec){p, PACKET};
    messages[filled] = (struct mmsghdr){.msg_hdr = {.msg_name = &s->to, .msg_namelen = sizeof s->to, .msg_iov = &parts[filled], .msg_iovlen = 1}};
    filled++;
    if (filled < BATCH && i + SLOTS < stream_count) continue;
    for (int done = 0; done < filled;) {
      int n = sendmmsg(caller.socket, messages + done, filled - done, 0);
      if (n > 0) sent += n; else not_sent++;
      done += n > 0 ? n : 1;
    }
    filled = 0;
  }
}

static void print_side(const char *name, const struct counts *c, const char *after) {
  printf("\"%s\":{\"packets\":%lu,\"missing_packets\":%lu,\"lost_frames\":%lu,\"repeated_frames\":%lu,\"late\":%lu,\"strange\":%lu}%s",
         name, c->packets, c->missing_packets, c->lost_frames, c->repeated_frames, c->late, c->strange, after);
}

static void obey(const char *line) {
  int port;
  if (sscanf(line, "add %d", &port) == 1 && stream_count < STREAMS)
    streams[stream_count++] = (struct stream){.to = address(port)};
  else if (!strcmp(line, "mark")) {
    memset(&caller.counts, 0, sizeof caller.counts);
    memset(&phone.counts, 0, sizeof phone.counts);
    sent = not_sent = behind_us = 0;
  } else if (!strcmp(line, "report")) {
    printf("{\"streams\":%d,\"sent\":%lu,\"not_sent\":%lu,\"behind_us\":%lu,", stream_count, sent, not_sent, behind_us);
    print_side("caller", &caller.counts, ",");
    print_side("phone", &phone.counts, "}\n");
    fflush(stdout);
  }
}

/* Returns 0 at the end of stdin. */
static int read_commands(void) {
  static char text[65536];
  static int held;
  int n = read(0, text + held, sizeof text - 1 - held);
  if (n <= 0) return 0;
  held += n;
  text[held] = 0;
  char *line = text, *end;
  for (; (end = strchr(line, '\n')); line = end + 1) { *end = 0; obey(line); }
  held -= line - text;
  memmove(text, line, held);
  return 1;
}

int main(int argc, char **argv) {
  if (argc < 3) { fprintf(stderr, "rtpload CALLER_PORT PHONE_PORT [echo]\n"); return 2; }
  int caller_port = atoi(argv[1]), phone_port = atoi(argv[2]), echo = argc > 3;
  caller.socket = open_port(caller_port);
  phone.socket = open_port(phone_port);
  open_port(caller_port + 1);
  open_port(phone_port + 1);
  uint64_t next = now_us();
  for (int slot = 0;;) {
    struct pollfd ready[3] = {{caller.socket, POLLIN, 0}, {phone.socket, POLLIN, 0}, {0, POLLIN, 0}};
    uint64_t now = now_us();
    struct timespec wait = {0, next > now ? (long)(next - now) * 1000 : 0};
    ppoll(ready, 3, &wait, NULL);
    if (ready[0].revents) take(&caller, 0);
    if (ready[1].revents) take(&phone, echo);
    if (ready[2].revents && !read_commands()) return 0;
    for (now = now_us(); now >= next; next += SLOT_US, slot = (slot + 1) % SLOTS) {
      if (now - next > behind_us) behind_us = now - next;
      send_slot(slot);
    }
  }
}
