// Dot products of int8 vectors: LANES products per beat, summed exactly, into one accumulator that saturates.
//
// s_axis  one group of products per beat: LANES activations from bit 0, then LANES weights; tlast with the last group.
// m_axis  one accumulator per dot product, sign-extended to 24 bits.
//
// Written by hand; it stands for hardware that hwsim knows nothing of.
module mac #(
    parameter LANES = 4,
    parameter ACC_BITS = 18
) (
    input  wire                  clk,
    input  wire                  rst,
    input  wire [LANES*16-1:0]   s_axis_tdata,
    input  wire                  s_axis_tlast,
    input  wire                  s_axis_tvalid,
    output wire                  s_axis_tready,
    output wire [23:0]           m_axis_tdata,
    output reg                   m_axis_tvalid,
    input  wire                  m_axis_tready
);
    localparam signed [31:0] HIGHEST = (1 << (ACC_BITS - 1)) - 1;
    localparam signed [31:0] LOWEST = -(1 << (ACC_BITS - 1));

    reg signed [ACC_BITS-1:0] acc;
    reg                       fresh; // the next group starts a dot product

    reg signed [31:0] group;
    integer lane;
    always @* begin
        group = 0;
        for (lane = 0; lane < LANES; lane = lane + 1)
            group = group + $signed(s_axis_tdata[lane*8 +: 8]) * $signed(s_axis_tdata[(LANES+lane)*8 +: 8]);
    end

    wire signed [31:0] sum = group + (fresh ? 32'sd0 : acc);

    assign s_axis_tready = !m_axis_tvalid || m_axis_tready;
    assign m_axis_tdata = {{(24-ACC_BITS){acc[ACC_BITS-1]}}, acc};

    always @(posedge clk) begin
        if (rst) begin
            acc <= 0;
            fresh <= 1;
            m_axis_tvalid <= 0;
        end else if (s_axis_tready) begin
            m_axis_tvalid <= s_axis_tvalid && s_axis_tlast;
            if (s_axis_tvalid) begin
                fresh <= s_axis_tlast;
                acc <= sum > HIGHEST ? HIGHEST : sum < LOWEST ? LOWEST : sum;
            end
        end
    end
endmodule
