/* SPDX-License-Identifier: Apache-2.0
 *
 * policy_json: the facts of a decision as JSON and back, so that it can be made again.
 * Times are nanoseconds before the decision.  With the models of that moment and the
 * settings the same choice follows.
 */
#ifndef ENGINE_POLICY_JSON_H
#define ENGINE_POLICY_JSON_H

#include <jansson.h>

#include "policy.h"

json_t *policy_facts_json(const struct policy_facts *facts, const struct policy_settings *settings,
			  int64_t now_ns);
/* Fills in FACTS and, of SETTINGS, objective and on-loss; as of NOW_NS.  False: these
 * are no facts; both are then undefined. */
bool policy_facts_of_json(const json_t *json, int64_t now_ns, struct policy_facts *facts,
			  struct policy_settings *settings);

#endif
