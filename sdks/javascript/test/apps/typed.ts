const answer: string = "typed";
export default (): Response => new Response(answer);
