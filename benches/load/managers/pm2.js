// Carries out orders, a line each, through pm2's own library, and says when each is done.
const [script, url] = process.argv.slice(1);
const pm2 = require('pm2');
const lines = require('readline').createInterface({ input: process.stdin });

const program = {
  name: 'greeter', script, interpreter: 'none', env: { PLUGD_RPC_URL: url }, autorestart: false, vizion: false,
};
const done = (error) => {
  if (error) throw error;
  console.log('done');
};
let known = false;

pm2.connect((error) => {
  if (error) throw error;
  lines.on('line', (order) => {
    if (order === 'stop') return pm2.stop('greeter', done);
    if (known) return pm2.restart('greeter', done);
    known = true;
    pm2.start(program, done);
  });
  lines.on('close', () => pm2.killDaemon(() => process.exit(0)));
  console.log('ready');
});
