"""What the service is made of: pinned versions, known vulnerabilities, the bill of materials."""
