// Node as it comes: closes a connection about a second after it announced to (Keep-Alive: timeout=N).
const http = require('http');
const server = http.createServer((request, response) => {
  let size = 0;
  request.on('data', (piece) => { size += piece.length; });
  request.on('end', () => response.end(`${request.method} ${size}`));
});
server.keepAliveTimeout = Number(process.env.KEEP_ALIVE_MS || 5000);
server.listen(process.env.PORT, '127.0.0.1');
