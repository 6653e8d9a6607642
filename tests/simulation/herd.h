#pragma once

/* Many hosts at once, and a GitLab that throttles: when do all come through, and at whose cost? */

#include "tests/simulation/world.h"

/* All boot within the first second. */
void herd_boot_begin(World *world, size_t hosts);

/* All are enrolled; GitLab is gone for six hours and comes back. */
void herd_outage_begin(World *world, size_t hosts);

/* A host has come through; called with every good answer that counts. */
void herd_note(World *world, int host);

/* Busiest second after the first. */
unsigned herd_peak(const World *world);
