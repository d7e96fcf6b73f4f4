module.exports = () => new Response("from CommonJS");
