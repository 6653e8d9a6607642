#pragma once

/* A GitLab made from its contract, as far as the agent's calls reach, with bad days. */

#include "agent/core/api.h"
#include "tests/simulation/world.h"

#define TOKEN_MAX     64
#define SYSTEM_ID_MAX 16
#define MARKER_MAX    40

#define REGISTRATION_TOKEN "GR1348941simulated-registration"
#define ACCESS_TOKEN       "glpat-simulated-access"

/* One of the bad days. */
typedef enum Weather {
        WEATHER_FAIR,
        WEATHER_DOWN,      /* no connection */
        WEATHER_SILENT,    /* connections, and no answers; some requests are acted on */
        WEATHER_500,       /* JSON; some after the deed */
        WEATHER_502,       /* a proxy's HTML; some after the deed */
        WEATHER_503,       /* with Retry-After, before the deed */
        WEATHER_READ_ONLY, /* maintenance: 403 to every write */
        WEATHER_401,       /* to all and everything */
        WEATHER_403,       /* GitLab's own words for an unknown token, to all and everything */
        WEATHER_403_HTML,  /* a firewall's */
        WEATHER_404,
        WEATHER_MIGRATION,     /* 429 with Retry-After */
        WEATHER_THROTTLE,      /* few requests a minute */
        WEATHER_THROTTLE_TEXT, /* the same without a header */
        WEATHER_LOGIN,         /* 200 and a page for people */
        WEATHER_REDIRECT,
        _WEATHER_MAX,
} Weather;

const char *weather_to_string(Weather weather);

typedef struct SimManager {
        char system_id[SYSTEM_ID_MAX];
        int host; /* whose agent or gitlab-runner made it */
} SimManager;

typedef struct SimRunner {
        int64_t id;
        int host;     /* which made it; -1: people */
        unsigned url; /* of GITLAB_URLS: under which GitLab it is known */
        bool exists;
        bool created; /* by POST /user/runners */
        bool shared;
        bool touched;      /* people deleted it or took its token away: it is theirs */
        bool answered;     /* the host got to know of it */
        bool known;        /* its token stood in a file of its host for sure */
        bool in_flight;    /* the answer with its token is on its way */
        bool by_neighbour; /* gitlab-runner made its token */
        bool lost_reset;   /* a reset's answer did not come through: nobody knows its token */
        bool abandoned;    /* left by a life that has ended, and counted */
        char token[TOKEN_MAX];
        char old_token[TOKEN_MAX];
        uint64_t made_usec;    /* of the token, in the world's time */
        uint64_t expires_usec; /* realtime; 0: never */
        char marker[MARKER_MAX];
        int runner;             /* which of its host's runners it is for */
        bool withdrawal_wanted; /* somebody asked for its end */
        SimManager *managers;
        size_t n_managers;
} SimRunner;

typedef struct SimRequest {
        Call call;
        int host;
        int runner;
        unsigned url;
        uint64_t generation;
        char token[TOKEN_MAX];
        char system_id[SYSTEM_ID_MAX];
        char marker[MARKER_MAX];
        int64_t runner_id;
        uint64_t told_usec; /* the world's time before which GitLab wants no call; 0: not told */
        bool access_token;
        bool answer_will_be_lost;
        uint64_t answer_usec; /* how long the answer is on its way */
        bool acted;
        int64_t acted_on;
        char answer_token[TOKEN_MAX];
        Reply reply;
} SimRequest;

struct GitLab {
        SimRunner *runners;
        size_t n;
        size_t allocated;
        unsigned version;           /* major */
        uint64_t expiry_usec;       /* of new tokens; 0: none */
        bool registration_disabled; /* people took the registration token away for a while */
        Weather weather;
        uint64_t weather_until_usec;
        uint64_t window_limit; /* requests in a minute; 0: no throttle */
        uint64_t window;
        uint64_t observed;
        bool headers;
};

void gitlab_init(World *world);
void gitlab_done(GitLab *gitlab);

/* Whether the GitLab of NUMBER, or any (-1), is at URL. An entry that the power tore in somebody else's write may
 * still parse, under a url that is nobody's. */
bool gitlab_is_at(const char *url, int number);

/* Lets a request arrive: fills its reply. */
void gitlab_handle(World *world, SimRequest *request);

/* gitlab-runner asks for jobs: its manager comes to be. False: the token is not taken. */
bool gitlab_poll(World *world, const char *token, const char *system_id, int host);

SimRunner *gitlab_find(const GitLab *gitlab, const char *token);
SimRunner *gitlab_find_id(const GitLab *gitlab, int64_t id);
bool gitlab_takes(const World *world, const SimRunner *runner);

/* What people do. */
SimRunner *gitlab_make_shared(World *world);
void gitlab_remove(SimRunner *runner);
void gitlab_reset_by_person(World *world, SimRunner *runner);
void gitlab_reset_by_neighbour(World *world, SimRunner *runner);

uint64_t gitlab_realtime(const World *world);
void request_free(SimRequest *request);
