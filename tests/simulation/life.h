#pragma once

/* What happens in a life: to a host, by people, and in GitLab's weather. */

#include "tests/simulation/world.h"

/* HOSTS hosts for the time until world->end_usec: troubled days, and a calm after each, at the end of which all must
 * be well. */
void life_begin(World *world, size_t hosts);

/* One host from its first boot to its orderly end, with everything that can go wrong close together. */
void lives_begin(World *world);

/* Beyond so many hosts their disks are left out. */
#define BLANKET_DISKS_MAX 100

/* All hosts enrol, and then GitLab refuses everything in one way after the other, six hours each. */
void blanket_begin(World *world, size_t hosts);
