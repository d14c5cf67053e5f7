// Administration: the views of which the page knows.

import audit from "./admin-audit.js";
import people from "./admin-people.js";
import reports from "./admin-reports.js";
import space from "./admin-space.js";
import spaces from "./admin-spaces.js";
import webhooks from "./admin-webhooks.js";

export default [spaces, space, people, audit, reports, webhooks];
