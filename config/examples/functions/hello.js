// A function: any program that serves HTTP on $PORT.
const http = require('http');

http.createServer((request, response) => {
  request.resume();
  response.setHeader('Content-Type', 'text/plain; charset=utf-8');
  response.end(`Hello from Node! ${request.method} ${request.url} (instance ${process.pid})\n`);
}).listen(Number(process.env.PORT), process.env.HOST || '127.0.0.1');  // a container says HOST=0.0.0.0

// rouse sends it when nothing is in flight. In a container, nothing but this would make it end.
process.on('SIGTERM', () => process.exit(0));
