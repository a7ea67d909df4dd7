/* The limits and choices that pjproject is compiled with, for a router and not for one phone. */

/* Audio only, and no sound card: media comes from the network and from files. */
#define PJMEDIA_HAS_VIDEO 0
#define PJMEDIA_AUDIO_DEV_HAS_PORTAUDIO 0
#define PJMEDIA_AUDIO_DEV_HAS_ALSA 0

/* Call legs in one process; the stock library allows 4. */
#define PJSUA_MAX_CALLS 1024
#define PJSUA_MAX_ACC 256
#define PJSUA_MAX_PLAYERS 1024
#define PJSUA_MAX_RECORDERS 1024
#define PJSUA_MAX_CONF_PORTS 4096

/* Finished transactions stay for 32 s, so these follow calls per second and not calls at once. */
#define PJSIP_MAX_TSX_COUNT 16383
#define PJSIP_MAX_DIALOG_COUNT 16383
#define PJSIP_MAX_TRANSPORTS 4096
#define PJ_IOQUEUE_MAX_HANDLES 16384

/* A burst of calls waits in the socket instead of being dropped. */
#define PJSIP_UDP_SO_RCVBUF_SIZE (4 * 1024 * 1024)
#define PJSIP_UDP_SO_SNDBUF_SIZE (4 * 1024 * 1024)

/* An INVITE over 1300 bytes stays on UDP: the far end chose the transport in its address. */
#define PJSIP_DONT_SWITCH_TO_TCP 1
