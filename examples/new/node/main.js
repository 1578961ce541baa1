// Where the plugin begins. Node has a WebSocket from version 22; 20 has it behind the flag that is in manifest.json.
import { run } from "./plugd.js";
import { Plugin } from "./plugin.js";

await run(new Plugin());
