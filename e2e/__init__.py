"""What must hold on a real host: real servers, real processes, real kills, under real load."""
